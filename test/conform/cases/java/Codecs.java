import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The Java client sends and reads every codec, idempotent and acks=all, into a topic that it lets the broker create. */
public final class Codecs {
    private static final int COUNT = 500;
    /** Not in a far past: retention would delete what is older than a week. */
    private static final long START = System.currentTimeMillis();

    public static void main(String[] arguments) throws Exception {
        String bootstrap = System.getenv("BOOTSTRAP");
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            check(bootstrap, System.getenv("PREFIX") + codec, codec);
        }
    }

    private static void check(String bootstrap, String topic, String codec) throws Exception {
        Map<String, Object> options = Map.of("bootstrap.servers", bootstrap, "compression.type", codec, "linger.ms", 10);
        try (var producer = new KafkaProducer<>(options, new ByteArraySerializer(), new ByteArraySerializer())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int i = 0; i < COUNT; i++) {
                var message = new ProducerRecord<>(topic, 0, START + i, key(i), value(codec, i));
                message.headers().add("n", Integer.toString(i).getBytes(StandardCharsets.UTF_8)).add("none", null);
                sent.add(producer.send(message));
            }
            for (int i = 0; i < COUNT; i++) {
                require(sent.get(i).get().offset() == i, codec + ": the offset of record " + i);
            }
        }
        options = Map.of("bootstrap.servers", bootstrap, "isolation.level", "read_committed");
        try (var consumer = new KafkaConsumer<>(options, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            var partition = new TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            List<ConsumerRecord<byte[], byte[]>> got = new ArrayList<>();
            long deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
            while (got.size() < COUNT && System.nanoTime() < deadline) {
                consumer.poll(Duration.ofMillis(500)).forEach(got::add);
            }
            require(got.size() == COUNT, codec + ": " + got.size() + " records came back");
            for (int i = 0; i < COUNT; i++) {
                var message = got.get(i);
                require(message.offset() == i && message.timestamp() == START + i, codec + ": position " + i);
                require(java.util.Arrays.equals(message.key(), key(i)), codec + ": key " + i);
                require(java.util.Arrays.equals(message.value(), value(codec, i)), codec + ": value " + i);
                var number = message.headers().lastHeader("n").value();
                require(new String(number, StandardCharsets.UTF_8).equals(Integer.toString(i)), codec + ": header " + i);
                require(message.headers().lastHeader("none").value() == null, codec + ": empty header " + i);
            }
        }
    }

    private static byte[] key(int i) {
        return i % 7 == 0 ? null : ("key " + i % 10).getBytes(StandardCharsets.UTF_8);
    }

    private static byte[] value(String codec, int i) {
        return i % 13 == 0 ? null : (codec + " " + i + " größer ").repeat(1 + i % 50).getBytes(StandardCharsets.UTF_8);
    }

    private static void require(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
