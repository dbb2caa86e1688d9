import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.StringSerializer;

/** What the Java admin client asks of one broker: topics by name and id, configuration, offsets, groups, log folders. */
public final class Administration {
    private static final String TOPIC = System.getenv("PREFIX") + "topic";
    private static final String GROUP = System.getenv("PREFIX") + "group";
    /** Not in a far past: retention would delete what is older than a week. */
    private static final long START = System.currentTimeMillis();
    private static final Map<String, Object> OPTIONS = Map.of("bootstrap.servers", System.getenv("BOOTSTRAP"));

    public static void main(String[] arguments) throws Exception {
        try (Admin admin = Admin.create(OPTIONS)) {
            topics(admin);
            configuration(admin);
            offsets(admin);
            groups(admin);
            cluster(admin);
            remove(admin);
        }
    }

    private static void topics(Admin admin) throws Exception {
        var topic = new NewTopic(TOPIC, Optional.of(3), Optional.empty()).configs(Map.of("retention.ms", "86400000"));
        var created = admin.createTopics(List.of(topic));
        require(get(created.numPartitions(TOPIC)) == 3, "three partitions are reported");
        fails(TopicExistsException.class, admin.createTopics(List.of(topic)).all());
        var bad = new NewTopic(TOPIC + "-bad", 1, (short) 1).configs(Map.of("no.such.config", "1"));
        fails(InvalidConfigurationException.class, admin.createTopics(List.of(bad)).all());
        await("the topic is listed", () -> get(admin.listTopics().names()).contains(TOPIC));

        var byName = get(admin.describeTopics(List.of(TOPIC)).allTopicNames()).get(TOPIC);
        var ids = TopicCollection.ofTopicIds(List.of(get(created.topicId(TOPIC))));
        var byId = get(admin.describeTopics(ids).allTopicIds()).get(byName.topicId());
        require(byId.name().equals(TOPIC) && byName.partitions().size() == 3, "described " + byName);
        require(byName.partitions().stream().allMatch(p -> p.leader() != null && p.isr().size() == 1), "led " + byName);
        get(admin.createPartitions(Map.of(TOPIC, NewPartitions.increaseTo(4))).all());
        await("four partitions", () ->
                get(admin.describeTopics(List.of(TOPIC)).allTopicNames()).get(TOPIC).partitions().size() == 4);
    }

    private static void configuration(Admin admin) throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, TOPIC);
        var options = new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true);
        Callable<Map<ConfigResource, org.apache.kafka.clients.admin.Config>> describe =
                () -> get(admin.describeConfigs(List.of(resource), options).all());
        var before = describe.call().get(resource);
        require(before.get("retention.ms").value().equals("86400000"), "retention.ms is what was asked");
        require(before.get("retention.ms").source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, "its source");
        require(before.get("segment.ms").documentation() != null, "its documentation");
        require(before.entries().size() >= 30, "all configurations are described: " + before.entries().size());

        Collection<AlterConfigOp> changes = List.of(
                new AlterConfigOp(new ConfigEntry("retention.ms", ""), AlterConfigOp.OpType.DELETE),
                new AlterConfigOp(new ConfigEntry("max.message.bytes", "5000"), AlterConfigOp.OpType.SET));
        get(admin.incrementalAlterConfigs(Map.of(resource, changes)).all());
        await("the change", () -> describe.call().get(resource).get("max.message.bytes").value().equals("5000"));
        var synonyms = describe.call().get(resource).get("max.message.bytes").synonyms();
        require(synonyms.size() == 2 && synonyms.get(1).name().equals("message.max.bytes"), "synonyms " + synonyms);
        require(describe.call().get(resource).get("retention.ms").isDefault(), "retention.ms is the default again");
        Collection<AlterConfigOp> wrong =
                List.of(new AlterConfigOp(new ConfigEntry("max.message.bytes", "-3"), AlterConfigOp.OpType.SET));
        fails(InvalidConfigurationException.class, admin.incrementalAlterConfigs(Map.of(resource, wrong)).all());
    }

    private static void offsets(Admin admin) throws Exception {
        try (var producer = new KafkaProducer<>(OPTIONS, new StringSerializer(), new StringSerializer())) {
            for (int i = 0; i < 20; i++) {
                producer.send(new ProducerRecord<>(TOPIC, 0, START + (i == 5 ? 100 : i), "key", "value " + i)).get();
            }
        }
        var partition = new TopicPartition(TOPIC, 0);
        require(offset(admin, partition, OffsetSpec.earliest()) == 0, "earliest");
        require(offset(admin, partition, OffsetSpec.latest()) == 20, "latest");
        require(offset(admin, partition, OffsetSpec.forTimestamp(START + 10)) == 5, "by time");
        require(offset(admin, partition, OffsetSpec.maxTimestamp()) == 5, "of the largest timestamp");
        get(admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(7))).all());
        require(offset(admin, partition, OffsetSpec.earliest()) == 7, "earliest after deletion");
        var state = get(admin.describeProducers(List.of(partition)).all()).get(partition);
        require(state.activeProducers().size() == 1, "one producer is known: " + state);
    }

    private static void groups(Admin admin) throws Exception {
        var partition = new TopicPartition(TOPIC, 0);
        get(admin.alterConsumerGroupOffsets(GROUP, Map.of(partition, new OffsetAndMetadata(12, "mark"))).all());
        var committed = get(admin.listConsumerGroupOffsets(GROUP).partitionsToOffsetAndMetadata()).get(partition);
        require(committed.offset() == 12 && committed.metadata().equals("mark"), "committed " + committed);
        require(get(admin.listGroups().all()).stream().anyMatch(g -> g.groupId().equals(GROUP)), "the group is listed");
        get(admin.deleteConsumerGroupOffsets(GROUP, java.util.Set.of(partition)).all());
        require(get(admin.listConsumerGroupOffsets(GROUP).partitionsToOffsetAndMetadata()).get(partition) == null, "no offset");
        get(admin.alterConsumerGroupOffsets(GROUP, Map.of(partition, new OffsetAndMetadata(1))).all());
        get(admin.deleteConsumerGroups(List.of(GROUP)).all());
        fails(GroupIdNotFoundException.class, admin.deleteConsumerGroups(List.of(GROUP)).all());
    }

    private static void cluster(Admin admin) throws Exception {
        var cluster = admin.describeCluster();
        require(get(cluster.nodes()).size() == 1 && !get(cluster.clusterId()).isEmpty(), "one node and a cluster's id");
        int node = get(cluster.controller()).id();
        var folders = get(admin.describeLogDirs(List.of(node)).allDescriptions()).get(node).values();
        var sizes = folders.stream().flatMap(f -> f.replicaInfos().entrySet().stream());
        require(sizes.anyMatch(e -> e.getKey().topic().equals(TOPIC) && e.getValue().size() > 0), "the topic has a size");
        var broker = new ConfigResource(ConfigResource.Type.BROKER, Integer.toString(node));
        require(get(admin.describeConfigs(List.of(broker)).all()).get(broker).get("log.retention.hours") != null, "broker");
    }

    private static void remove(Admin admin) throws Exception {
        get(admin.deleteTopics(List.of(TOPIC)).all());
        await("the topic is gone", () -> !get(admin.listTopics().names()).contains(TOPIC));
        fails(UnknownTopicOrPartitionException.class, admin.deleteTopics(List.of(TOPIC)).all());
    }

    private static long offset(Admin admin, TopicPartition partition, OffsetSpec spec) throws Exception {
        return get(admin.listOffsets(Map.of(partition, spec)).all()).get(partition).offset();
    }

    private static <T> T get(KafkaFuture<T> future) throws Exception {
        return future.get(30, TimeUnit.SECONDS);
    }

    private static void fails(Class<?> error, KafkaFuture<?> future) throws Exception {
        try {
            get(future);
        } catch (ExecutionException thrown) {
            require(error.isInstance(thrown.getCause()), "expected " + error.getSimpleName() + ", got " + thrown.getCause());
            return;
        }
        throw new AssertionError("expected " + error.getSimpleName());
    }

    private static void await(String what, Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
        while (!condition.call()) {
            require(System.nanoTime() < deadline, "not in time: " + what);
            Thread.sleep(50);
        }
    }

    private static void require(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
