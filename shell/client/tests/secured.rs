//! The client against a secured cluster, as the `.properties` files in the folder `VLTAVA_CLIENT_SECURED` have it: those
//! named `good-..` work, those named `bad-..` are told what their first line says.

use std::path::PathBuf;
use std::time::{Duration, Instant};
use vltava_client::{
    AdminConfig, Client, Consumer, ConsumerConfig, Error, NewTopic, Offset, PartitionIndex, Producer, ProducerConfig,
    ProducerRecord, Text,
};

const PATIENCE: Duration = Duration::from_secs(30);
/// Records are written and read for so long: some sessions end within it, and are begun anew.
const USE: Duration = Duration::from_secs(6);

fn files(beginning: &str) -> Vec<PathBuf> {
    let folder = std::env::var("VLTAVA_CLIENT_SECURED").expect("VLTAVA_CLIENT_SECURED names a folder");
    let entries =
        std::fs::read_dir(folder).expect("the folder can be read").map(|entry| entry.expect("it is there").path());
    let is_wanted = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with(beginning) && name.ends_with(".properties")
    };
    let mut files: Vec<PathBuf> = entries.filter(is_wanted).collect();
    files.sort();
    assert!(!files.is_empty(), "there is no {beginning}*.properties");
    files
}

fn run(test: impl Future<Output = Result<(), Error>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    assert_eq!(runtime.block_on(test), Ok(()));
}

/// The admin client, the producer and the consumer of one file, for a time.
async fn work(path: PathBuf) -> Result<usize, Error> {
    let client = Client::new(AdminConfig::from_file(&path)?).await?;
    let name = Text::from(path.file_stem().unwrap_or_default().to_string_lossy().as_ref());
    client.create_topic(NewTopic { name: name.clone(), partitions: Some(1), ..NewTopic::default() }).await?;
    let producer = Producer::new(ProducerConfig::from_file(&path)?)?;
    let consumer = Consumer::new(ConsumerConfig::from_file(&path)?)?;
    consumer.assign([((name.clone(), PartitionIndex(0)), Some(Offset(0)))]).await?;
    let (started, mut sent, mut read) = (Instant::now(), 0, 0);
    while started.elapsed() < USE {
        let stored = producer.send(ProducerRecord::new(name.clone(), "value")).await?.await?;
        assert_eq!(stored.offset, Some(Offset(sent)));
        sent += 1;
        while read < sent {
            let came = i64::try_from(consumer.poll(PATIENCE).await?.iter().count()).expect("there are few");
            assert!(came > 0, "a record comes");
            read += came;
        }
        client.overview().await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    producer.close().await;
    Ok(usize::try_from(sent).expect("it grows"))
}

#[test]
#[ignore = "needs a secured cluster: the suite with foreign clients starts one"]
fn each_good_way_in_works_and_goes_on_working() {
    run(async {
        let tasks: Vec<_> = files("good-").into_iter().map(|path| (path.clone(), tokio::spawn(work(path)))).collect();
        for (path, task) in tasks {
            let done = task.await.expect("nobody panics");
            assert!(done.as_ref().is_ok_and(|sent| *sent > 0), "{}: {done:?}", path.display());
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs a secured cluster: the suite with foreign clients starts one"]
fn each_bad_way_in_is_told_at_once_what_to_change() {
    run(async {
        let mut wrong = Vec::new();
        for path in files("bad-") {
            let text = std::fs::read_to_string(&path).expect("it can be read");
            let expected = text.lines().next().unwrap_or_default();
            let (kind, words) = expected.trim_start_matches("# ").split_once(": ").expect("the first line says it");
            let started = Instant::now();
            let error = Client::new(AdminConfig::from_file(&path)?).await.expect_err("it cannot come in");
            let is_told = error.to_string().contains(words) && is_denied(&error) == (kind == "denied");
            if !is_told || started.elapsed() > Duration::from_secs(9) {
                wrong.push(format!("{}: {error:?} after {:?}", path.display(), started.elapsed()));
            }
            if kind == "denied" {
                let producer = Producer::new(ProducerConfig::from_file(&path)?)?;
                let error = producer.send(ProducerRecord::new("none", "value")).await.expect_err("it cannot come in");
                let consumer = Consumer::new(ConsumerConfig::from_file(&path)?)?;
                consumer.assign([(("none".into(), PartitionIndex(0)), None)]).await?;
                let polled = consumer.poll(PATIENCE).await.expect_err("it cannot come in");
                if !is_denied(&error) || !is_denied(&polled) {
                    wrong.push(format!("{}: {error:?}, {polled:?}", path.display()));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    });
}

fn is_denied(error: &Error) -> bool {
    matches!(error, Error::Authentication(_))
}
