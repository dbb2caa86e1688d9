import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.IntegerDeserializer;
import org.apache.kafka.common.serialization.IntegerSerializer;

/** Three members of the Java client share six partitions, with the assignor of the argument; a static one comes back. */
public final class Group {
    private static final String BOOTSTRAP = System.getenv("BOOTSTRAP");
    private static final String TOPIC = System.getenv("PREFIX") + "topic";
    private static final int PARTITIONS = 6;
    private static final Map<Integer, Integer> SEEN = new ConcurrentHashMap<>();
    private static String assignor;

    /** Polls on its own thread until it is told to leave. */
    private static final class Member extends Thread {
        volatile Set<TopicPartition> owned = Set.of();
        volatile ConsumerGroupMetadata metadata;
        volatile boolean leaving;
        volatile Throwable error;
        final String instance;

        Member(String instance) {
            this.instance = instance;
            setDaemon(true);
            start();
        }

        @Override
        public void run() {
            Map<String, Object> options = new HashMap<>(Map.of(
                    "bootstrap.servers", BOOTSTRAP, "group.id", TOPIC, "auto.offset.reset", "earliest",
                    "group.instance.id", instance, "session.timeout.ms", 15000, "heartbeat.interval.ms", 500,
                    "partition.assignment.strategy", "org.apache.kafka.clients.consumer." + assignor));
            try (var consumer = new KafkaConsumer<>(options, new IntegerDeserializer(), new IntegerDeserializer())) {
                consumer.subscribe(List.of(TOPIC));
                while (!leaving) {
                    var records = consumer.poll(Duration.ofMillis(100));
                    records.forEach(message -> SEEN.merge(message.value(), 1, Integer::sum));
                    owned = Set.copyOf(consumer.assignment());
                    metadata = consumer.groupMetadata();
                    consumer.commitSync();
                }
            } catch (Throwable thrown) {
                error = thrown;
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        assignor = arguments[0];
        try (var admin = Admin.create(Map.<String, Object>of("bootstrap.servers", BOOTSTRAP))) {
            admin.createTopics(List.of(new NewTopic(TOPIC, PARTITIONS, (short) 1))).all().get();
            List<Member> members = new ArrayList<>(List.of(new Member("a"), new Member("b"), new Member("c")));
            await("two partitions each", members, () -> shared(members));
            produce(0, 600);
            await("the first records", members, () -> SEEN.size() == 600);

            // A static member that closes does not leave: its partitions wait for it, and no generation passes.
            Member gone = members.remove(2);
            Set<TopicPartition> kept = gone.owned;
            int generation = gone.metadata.generationId();
            gone.leaving = true;
            gone.join(30_000);
            Member back = new Member("c");
            members.add(back);
            await("the same partitions again", members, () -> back.owned.equals(kept));
            require(back.metadata.generationId() == generation, "the group rebalanced for a static member");
            produce(600, 300);
            await("the other records", members, () -> SEEN.size() == 900);
            require(SEEN.values().stream().allMatch(times -> times == 1), "a record came twice");

            var described = admin.describeConsumerGroups(List.of(TOPIC)).all().get().get(TOPIC);
            var instances = described.members().stream().map(member -> member.groupInstanceId().orElse("")).sorted();
            require(instances.toList().equals(List.of("a", "b", "c")), "the members are " + described.members());
            for (Member member : members) {
                member.leaving = true;
                member.join(30_000);
                require(member.error == null, "a member failed: " + member.error);
            }
            var committed = admin.listConsumerGroupOffsets(TOPIC).partitionsToOffsetAndMetadata().get();
            var offsets = committed.values().stream().map(offset -> offset.offset()).collect(Collectors.toSet());
            require(committed.size() == PARTITIONS && offsets.equals(Set.of(150L)), "committed: " + committed);
        }
    }

    private static boolean shared(List<Member> members) {
        var all = members.stream().flatMap(member -> member.owned.stream()).collect(Collectors.toSet());
        return all.size() == PARTITIONS && members.stream().allMatch(member -> member.owned.size() == 2);
    }

    private static void produce(int start, int count) throws Exception {
        Map<String, Object> options = Map.of("bootstrap.servers", BOOTSTRAP);
        try (var producer = new KafkaProducer<>(options, new IntegerSerializer(), new IntegerSerializer())) {
            for (int i = start; i < start + count; i++) {
                producer.send(new ProducerRecord<>(TOPIC, i % PARTITIONS, i, i));
            }
        }
    }

    private static void await(String what, List<Member> members, BooleanSupplier condition) throws Exception {
        long deadline = System.nanoTime() + Duration.ofSeconds(90).toNanos();
        while (!condition.getAsBoolean()) {
            for (Member member : members) {
                require(member.error == null, "a member failed: " + member.error);
            }
            var owned = members.stream().map(member -> member.owned.toString()).toList();
            require(System.nanoTime() < deadline, "not in time: " + what + ": " + owned + ", " + SEEN.size() + " records");
            Thread.sleep(20);
        }
    }

    private static void require(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
