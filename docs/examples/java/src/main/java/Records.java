import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.message.BinaryMessageEncoder;

/** The Avro schemas and the variables that all examples take. */
final class Records {
  private static final Path SCHEMAS = Path.of(env("SCHEMAS", "../../../schemas"));

  static Schema schema(String record) throws IOException {
    return new Schema.Parser().parse(SCHEMAS.resolve(record + ".avsc").toFile());
  }

  /** Avro's single-object encoding. */
  static byte[] encode(GenericRecord record) throws IOException {
    return bytes(new BinaryMessageEncoder<GenericRecord>(GenericData.get(), record.getSchema()).encode(record));
  }

  static byte[] bytes(ByteBuffer buffer) {
    byte[] copy = new byte[buffer.remaining()];
    buffer.get(copy);
    return copy;
  }

  static String env(String name, String otherwise) {
    String value = System.getenv(name);
    return value == null || value.isEmpty() ? otherwise : value;
  }
}
