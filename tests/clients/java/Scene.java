// Plays those steps of the scene of loadtest/src/clients with Kafka's own client that are not for its console tools.
//
// Two arguments: a file of client properties, and a JSON object: topic, partitions, replication, group, steps. Standard
// input: one JSON record per line, as many as the topic holds. Standard output: one JSON object per step, in their order.
import java.io.FileReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.stream.IntStream;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Scene {
    static final ObjectMapper JSON = new ObjectMapper();
    static final Duration LIMIT = Duration.ofSeconds(60);
    static final int IN_TRANSACTION = 12;

    static JsonNode scene;
    static String topic;
    static int count;

    public static void main(String[] args) throws Exception {
        scene = JSON.readTree(args[1]);
        topic = scene.get("topic").asText();
        count = new String(System.in.readAllBytes(), StandardCharsets.UTF_8).split("\n").length;
        for (JsonNode step : scene.get("steps")) {
            ObjectNode told = play(step.asText(), args[0]).put("step", step.asText());
            System.out.println(JSON.writeValueAsString(told));
        }
    }

    static ObjectNode play(String step, String properties) throws Exception {
        Properties config = new Properties();
        try (var reader = new FileReader(properties)) {
            config.load(reader);
        }
        config.put("bootstrap.servers", scene.get("bootstrap").asText());
        if (step.equals("seek")) return seek(config);
        if (step.equals("transaction")) return transaction(config);
        try (var admin = Admin.create(config)) {
            return switch (step) {
                case "delete_records" -> deleteRecords(admin);
                case "describe_topic" -> describeTopic(admin);
                case "describe_cluster" -> describeCluster(admin);
                case "describe_configs" -> describeConfigs(admin);
                case "describe_group" -> describeGroup(admin);
                default -> throw new IllegalArgumentException(step + " is not played here");
            };
        }
    }

    static KafkaConsumer<String, String> consumer(Properties base, Map<String, Object> more) {
        Properties config = new Properties();
        config.putAll(base);
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", false);
        config.putAll(more);
        return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    }

    static List<ConsumerRecord<String, String>> read(KafkaConsumer<String, String> consumer, int count) {
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        long end = System.nanoTime() + LIMIT.toNanos();
        while (records.size() < count) {
            if (System.nanoTime() > end) throw new IllegalStateException(records.size() + " of " + count + " records read");
            consumer.poll(Duration.ofMillis(500)).forEach(records::add);
        }
        return records;
    }

    static ObjectNode seek(Properties config) {
        int partitions = scene.get("partitions").asInt();
        var all = IntStream.range(0, partitions).mapToObj(partition -> new TopicPartition(topic, partition)).toList();
        ArrayNode told = JSON.createArrayNode();
        try (var consumer = consumer(config, Map.of())) {
            consumer.assign(all);
            read(consumer, count);
            all.forEach(partition -> consumer.seek(partition, 0));
            read(consumer, count).forEach(record -> told.add(told(record)));
        }
        return JSON.createObjectNode().set("records", told);
    }

    static ObjectNode told(ConsumerRecord<String, String> record) {
        ArrayNode headers = JSON.createArrayNode();
        for (var header : record.headers()) {
            String value = header.value() == null ? null : new String(header.value(), StandardCharsets.UTF_8);
            headers.add(JSON.createArrayNode().add(header.key()).add(value));
        }
        return JSON.createObjectNode().put("key", record.key()).put("value", record.value()).set("headers", headers);
    }

    static ObjectNode transaction(Properties base) throws Exception {
        String transactions = topic + "-transactions";
        try (var admin = Admin.create(base)) {
            int partitions = scene.get("partitions").asInt();
            short replication = (short) scene.get("replication").asInt();
            admin.createTopics(List.of(new NewTopic(transactions, partitions, replication))).all().get();
        }
        Properties config = new Properties();
        config.putAll(base);
        config.put("transactional.id", transactions);
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            producer.initTransactions();
            for (String word : List.of("aborted", "committed")) {
                producer.beginTransaction();
                for (int n = 0; n < IN_TRANSACTION; n++) {
                    producer.send(new ProducerRecord<>(transactions, "" + n, word + "-" + n));
                }
                // On the brokers before it ends, or an abort has nothing to take back.
                producer.flush();
                if (word.equals("aborted")) producer.abortTransaction();
                else producer.commitTransaction();
            }
        }
        ArrayNode values = JSON.createArrayNode();
        try (var consumer = consumer(base, Map.of("group.id", transactions, "isolation.level", "read_committed"))) {
            consumer.subscribe(List.of(transactions));
            read(consumer, IN_TRANSACTION).forEach(record -> values.add(record.value()));
        }
        return JSON.createObjectNode().set("values", values);
    }

    static ObjectNode deleteRecords(Admin admin) throws Exception {
        var partition = new TopicPartition(topic, 0);
        var deleted = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(1))).lowWatermarks();
        return JSON.createObjectNode().put("low", deleted.get(partition).get().lowWatermark());
    }

    static ObjectNode describeTopic(Admin admin) throws Exception {
        var partitions = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions();
        var leaders = addresses(partitions.stream().map(partition -> partition.leader()).toList());
        return leaders.put("partitions", partitions.size());
    }

    static ObjectNode describeCluster(Admin admin) throws Exception {
        return addresses(admin.describeCluster().nodes().get());
    }

    static ObjectNode describeConfigs(Admin admin) throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        var config = admin.describeConfigs(List.of(resource)).all().get().get(resource);
        return JSON.createObjectNode().put("cleanup.policy", config.get("cleanup.policy").value());
    }

    static ObjectNode describeGroup(Admin admin) throws Exception {
        String group = scene.get("group").asText();
        var described = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
        return addresses(List.of(described.coordinator())).put("state", described.groupState().toString());
    }

    static ObjectNode addresses(Collection<Node> nodes) {
        ArrayNode addresses = JSON.createArrayNode();
        nodes.forEach(node -> addresses.add(node.host() + ":" + node.port()));
        return JSON.createObjectNode().set("addresses", addresses);
    }
}
