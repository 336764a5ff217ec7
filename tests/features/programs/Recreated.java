// A producer and a consumer that stay while their topic is deleted and made again (Java, topics by id).
//
// Scene: bootstrap, client_id, topic, gate. Step: "read 20 of the old", then the topic is another one.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Recreated {
    private static final long LIMIT_MS = 60_000;

    public static void main(String[] args) throws Exception {
        JsonNode scene = new ObjectMapper().readTree(args[0]);
        String topic = scene.get("topic").asText();
        Properties settings = new Properties();
        settings.put("bootstrap.servers", scene.get("bootstrap").asText());
        settings.put("client.id", scene.get("client_id").asText());
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("delivery.timeout.ms", "60000");
        // Idempotence is bound to the log it began with: what is asked here is only that the topic is found again.
        settings.put("enable.idempotence", "false");
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
                var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            var partition = List.of(new TopicPartition(topic, 0));
            consumer.assign(partition);
            consumer.seekToBeginning(partition);
            write(producer, topic, "old ", 20);
            read(consumer, "old ", 20);
            System.out.println("read 20 of the old");
            long deadline = System.currentTimeMillis() + LIMIT_MS;
            while (Files.size(Path.of(scene.get("gate").asText())) == 0) {
                if (System.currentTimeMillis() > deadline) throw new IllegalStateException("nobody let it go on");
                consumer.poll(Duration.ofMillis(50));
            }
            write(producer, topic, "new ", 5);
            // Where it was in the old one means nothing in the new one.
            consumer.seekToBeginning(partition);
            read(consumer, "new ", 5);
        }
    }

    private static void write(KafkaProducer<String, String> producer, String topic, String prefix, int count)
            throws Exception {
        for (int n = 0; n < count; n++) producer.send(new ProducerRecord<>(topic, 0, null, prefix + n)).get();
    }

    private static void read(KafkaConsumer<String, String> consumer, String prefix, int count) {
        long deadline = System.currentTimeMillis() + LIMIT_MS;
        for (int read = 0; read < count; ) {
            if (System.currentTimeMillis() > deadline) throw new IllegalStateException(prefix + ": " + read + " read");
            for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                String expected = prefix + read;
                if (!record.value().equals(expected)) throw new IllegalStateException(expected + ": " + record.value());
                read++;
            }
        }
    }
}
