// Keeps Kafka's Java producer and consumer at work for loadtest/src/stream/. Arguments and reports are those of
// tests/clients/confluent-kafka/stream.py in its mode `stream`; its group follows the protocol of KIP-848.
import java.io.FileWriter;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;

import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class Stream {
    static final byte[] PADDING = new byte[1 << 17];
    static final Map<String, String> ARGUMENTS = new HashMap<>();
    static PrintWriter produced, consumed, errors;

    public static void main(String[] args) throws Exception {
        for (String arg : args) {
            String[] parts = arg.split("=", 2);
            ARGUMENTS.put(parts[0], parts[1]);
        }
        new Random(1).nextBytes(PADDING);
        produced = report("produced");
        consumed = report("consumed");
        errors = report("errors");
        List<Thread> threads = new ArrayList<>();
        for (int member = 0; member < Integer.parseInt(ARGUMENTS.get("members")); member++) {
            threads.add(new Thread(() -> orDie(Stream::consume)));
        }
        threads.add(new Thread(() -> orDie(Stream::produce)));
        for (Thread thread : threads) thread.start();
        for (Thread thread : threads) thread.join();
        consumed.close();
        errors.close();
    }

    interface Work {
        void run() throws Exception;
    }

    static void orDie(Work work) {
        try {
            work.run();
        } catch (Throwable failed) {
            failed.printStackTrace();
            errors.flush();
            System.exit(1);
        }
    }

    static Path path(String name) {
        return Path.of(ARGUMENTS.get("folder"), name);
    }

    static PrintWriter report(String suffix) throws IOException {
        return new PrintWriter(new FileWriter(path(ARGUMENTS.get("name") + "." + suffix).toFile(), true));
    }

    static boolean askedTo(String what) {
        return Files.exists(path(what));
    }

    static String hash(byte[] value) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(value), 0, 8);
    }

    static Map<String, Object> config() {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", ARGUMENTS.get("bootstrap"));
        config.put("client.id", ARGUMENTS.get("name"));
        config.put("request.timeout.ms", 5_000);
        config.put("default.api.timeout.ms", 60_000);
        return config;
    }

    static void produce() throws Exception {
        Map<String, Object> config = config();
        config.put("enable.idempotence", true);
        config.put("acks", "all");
        config.put("linger.ms", 10);
        config.put("compression.type", ARGUMENTS.get("codec"));
        config.put("max.block.ms", 60_000);
        config.put("delivery.timeout.ms", 170_000);
        int rate = Integer.parseInt(ARGUMENTS.get("rate"));
        int partitions = Integer.parseInt(ARGUMENTS.get("partitions"));
        int size = Integer.parseInt(ARGUMENTS.get("value_bytes"));
        String topic = ARGUMENTS.get("topic");
        AtomicLong remaining = new AtomicLong();
        long sequence = 0;
        double started = System.nanoTime() / 1e9;
        var bytes = new ByteArraySerializer();
        try (var producer = new KafkaProducer<>(config, bytes, bytes)) {
            while (!askedTo("stop-producing")) {
                long due = (long) ((System.nanoTime() / 1e9 - started) * rate);
                // What could not be sent in time is not made up for at once: a stream, no flood.
                if (due - sequence > rate) {
                    started += (due - sequence) / (double) rate;
                    due = sequence;
                }
                for (; sequence < due; sequence++) {
                    byte[] head = (ARGUMENTS.get("producer") + ":" + sequence + ":").getBytes(StandardCharsets.UTF_8);
                    byte[] value = Arrays.copyOf(head, size);
                    System.arraycopy(PADDING, (int) (sequence * 7919 % 65536), value, head.length, size - head.length);
                    String line = (sequence % partitions) + " " + sequence + " " + hash(value);
                    long number = sequence;
                    remaining.incrementAndGet();
                    producer.send(new ProducerRecord<>(topic, (int) (sequence % partitions), null, value), (done, failed) -> {
                        if (failed == null) {
                            produced.println(line);
                            remaining.decrementAndGet();
                        } else {
                            error("delivery", failed, " (record " + number + ")");
                        }
                    });
                }
                Thread.sleep(20);
                produced.flush();
            }
            producer.flush();
        }
        produced.close();
        Files.writeString(path(ARGUMENTS.get("name") + ".done"), sequence + " " + remaining.get() + "\n");
    }

    static void consume() throws Exception {
        Map<String, Object> config = config();
        config.put("group.id", ARGUMENTS.get("group"));
        config.put("group.protocol", "consumer");
        config.put("auto.offset.reset", "earliest");
        config.put("auto.commit.interval.ms", 1_000);
        var bytes = new ByteArrayDeserializer();
        try (var consumer = new KafkaConsumer<>(config, bytes, bytes)) {
            consumer.subscribe(List.of(ARGUMENTS.get("topic")));
            while (!askedTo("stop-consuming")) {
                try {
                    for (var record : consumer.poll(Duration.ofMillis(200))) {
                        String[] head = new String(record.value(), 0, 40, StandardCharsets.ISO_8859_1).split(":", 3);
                        consumed.println(record.partition() + " " + record.offset() + " " + head[0] + " " + head[1] + " "
                            + hash(record.value()));
                    }
                } catch (RetriableException failed) {
                    error("consumer", failed, "");
                }
                consumed.flush();
            }
        }
    }

    static void error(String where, Exception failed, String more) {
        errors.println(where + " " + Errors.forException(failed).name() + " " + failed + more);
        errors.flush();
    }
}
