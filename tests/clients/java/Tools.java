// Runs Kafka's command line tools one after another in one JVM, for tests/java_tools: a start of Java costs more than what
// most of them do.
//
// Standard input: a JSON object a line, `class` (a main class of Kafka's), `args` and `input`, what stands on the tool's
// standard input. Standard output: a JSON object a line with the tool's exit `status`, its `stdout` and its `stderr`.
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.kafka.common.utils.Exit;

public class Tools {
    /** What a tool's exit becomes: the JVM goes on. */
    static final class Exited extends Error {
    }

    /** The tool's status, once it has exited; what it does after that is not heard. */
    static Integer status;
    /** What it wants done when its JVM ends, in which some tools still have something to say. */
    static final List<Runnable> hooks = new ArrayList<>();

    public static void main(String[] args) throws Exception {
        Exit.setExitProcedure((code, message) -> exit(code));
        Exit.setHaltProcedure((code, message) -> exit(code));
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        var json = new ObjectMapper();
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        var answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonNode asked = json.readTree(line);
            var out = new ByteArrayOutputStream();
            var err = new ByteArrayOutputStream();
            System.setIn(new ByteArrayInputStream(asked.get("input").asText().getBytes(StandardCharsets.UTF_8)));
            System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
            System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
            run(asked.get("class").asText(), json.convertValue(asked.get("args"), String[].class));
            answers.println(json.writeValueAsString(Map.of("status", status,
                "stdout", out.toString(StandardCharsets.UTF_8), "stderr", err.toString(StandardCharsets.UTF_8))));
        }
    }

    static void exit(int code) {
        if (status == null) {
            end(code);
            System.setOut(new PrintStream(OutputStream.nullOutputStream()));
            System.setErr(new PrintStream(OutputStream.nullOutputStream()));
        }
        throw new Exited();
    }

    /** A hook may wait for what ends only with its JVM, so it gets a second. */
    static void end(int code) {
        status = code;
        for (Runnable hook : hooks) {
            var thread = new Thread(hook);
            thread.setDaemon(true);
            thread.start();
            try {
                thread.join(1000);
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
        }
        System.out.flush();
        System.err.flush();
    }

    /** Scala's own idea of the standard output is fixed at its start, unless it is told another. */
    static void run(String name, String[] args) throws Exception {
        status = null;
        hooks.clear();
        var main = Class.forName(name).getMethod("main", String[].class);
        scala.Console.withOut(System.out, () -> scala.Console.withErr(System.err, () -> {
            try {
                main.invoke(null, (Object) args);
            } catch (InvocationTargetException thrown) {
                if (status == null) {
                    thrown.getCause().printStackTrace();
                    end(1);
                }
            } catch (IllegalAccessException e) {
                throw new IllegalStateException(e);
            }
            return null;
        }));
        if (status == null) {
            end(0);
        }
    }
}
