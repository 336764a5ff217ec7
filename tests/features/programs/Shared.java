// A share consumer that reads on until its gate is opened (Java). Prints each record's value and which delivery of it this is.
//
// Scene: bootstrap, topic, group, mode (implicit or explicit), gate; settings, a text of properties, where it has to log in.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.StringReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;

public class Shared {
    public static void main(String[] args) throws Exception {
        JsonNode scene = new ObjectMapper().readTree(args[0]);
        String mode = scene.get("mode").asText();
        Properties settings = new Properties();
        settings.load(new StringReader(scene.path("settings").asText()));
        settings.put("bootstrap.servers", scene.get("bootstrap").asText());
        settings.put("group.id", scene.get("group").asText());
        settings.put("share.acknowledgement.mode", mode);
        Path gate = Path.of(scene.get("gate").asText());
        try (var consumer = new KafkaShareConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(scene.get("topic").asText()));
            while (Files.size(gate) == 0) {
                for (var record : consumer.poll(Duration.ofMillis(200))) {
                    System.out.println(record.value() + " in delivery " + record.deliveryCount().get());
                    if (mode.equals("explicit")) consumer.acknowledge(record);
                }
            }
        }
    }
}
