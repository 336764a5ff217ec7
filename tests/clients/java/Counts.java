// A Kafka Streams topology with exactly_once_v2 and state, for tests/java_streams.rs: words are counted by another key than
// they come under, so that a repartition topic lies in between, the counts live in a store with a changelog, and each is
// joined with a table of what the words are called.
//
// Arguments: the properties file, the topic of words, the topic of names (compacted), the topic that the counts go to. It
// runs until it is killed.
import java.io.FileReader;
import java.util.Properties;

import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;

public class Counts {
    public static void main(String[] args) throws Exception {
        var properties = new Properties();
        try (var file = new FileReader(args[0])) {
            properties.load(file);
        }
        var strings = Serdes.String();
        var builder = new StreamsBuilder();
        var names = builder.table(args[2], Consumed.with(strings, strings));
        builder.stream(args[1], Consumed.with(strings, strings))
            .groupBy((key, word) -> word, Grouped.with("words", strings, strings))
            .count(Materialized.as("counts"))
            .join(names, (count, name) -> name + " " + count)
            .toStream()
            .to(args[3], Produced.with(strings, strings));
        var streams = new KafkaStreams(builder.build(), properties);
        streams.setStateListener((now, before) -> System.err.println("state " + now));
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }
}
