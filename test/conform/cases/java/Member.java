import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * A member of a group among members of other clients. Prints the partition and offset of each record, and leaves when its
 * input ends. Arguments: the group, the topic.
 */
public final class Member {
    public static void main(String[] arguments) throws Exception {
        Map<String, Object> options = Map.of(
                "bootstrap.servers", System.getenv("BOOTSTRAP"), "group.id", arguments[0], "client.id", "java",
                "auto.offset.reset", "earliest", "heartbeat.interval.ms", 300, "auto.commit.interval.ms", 300,
                "partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
        Thread input = new Thread(() -> {
            try {
                while (System.in.read() >= 0) { }
            } catch (java.io.IOException gone) {
                // As good as its end.
            }
        });
        input.setDaemon(true);
        input.start();
        try (var consumer = new KafkaConsumer<>(options, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            // The client's automatic commit comes before a rebalance, but its polls go on through a cooperative one.
            consumer.subscribe(List.of(arguments[1]), new ConsumerRebalanceListener() {
                @Override
                public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                    Map<TopicPartition, OffsetAndMetadata> positions = new HashMap<>();
                    partitions.forEach(one -> positions.put(one, new OffsetAndMetadata(consumer.position(one))));
                    consumer.commitSync(positions);
                }

                @Override
                public void onPartitionsAssigned(Collection<TopicPartition> partitions) { }
            });
            while (input.isAlive()) {
                for (var record : consumer.poll(Duration.ofMillis(50))) {
                    System.out.println(record.partition() + " " + record.offset());
                }
            }
        }
    }
}
