// What Java and Kafka make of certificates' subjects, for tests/subjects_match_kafka.rs.
//
// Standard input: a line `rules<TAB>RULES` sets the value of ssl.principal.mapping.rules for what follows; a line
// `certificate<TAB>BASE64 OF DER` asks. Standard output: the subject's name, a tab, and what the rules make of it, or
// nothing where they refuse; line breaks never occur in either.
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.Base64;

import org.apache.kafka.common.security.ssl.SslPrincipalMapper;

public class Subjects {
    public static void main(String[] args) throws Exception {
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        var out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        var factory = CertificateFactory.getInstance("X.509");
        SslPrincipalMapper mapper = SslPrincipalMapper.fromRules("DEFAULT");
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] parts = line.split("\t", 2);
            if (parts[0].equals("rules")) {
                mapper = SslPrincipalMapper.fromRules(parts[1]);
                continue;
            }
            byte[] der = Base64.getDecoder().decode(parts[1]);
            var certificate = (X509Certificate) factory.generateCertificate(new ByteArrayInputStream(der));
            String name = certificate.getSubjectX500Principal().getName();
            String mapped;
            try {
                mapped = mapper.getName(name);
            } catch (Exception refused) {
                mapped = "";
            }
            out.println(name + "\t" + mapped);
        }
    }
}
