import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Kills all invocations of one service and follows the batch to its end. */
public final class KillBatch {
  private static final Set<String> FINAL = Set.of("COMPLETED", "ABORTED", "REJECTED");
  private static final String BOOTSTRAP = Records.env("BOOTSTRAP", "localhost:9092");
  private static final String PREFIX = Records.env("PREFIX", "invocations.");

  public static void main(String[] args) throws Exception {
    String service = Records.env("SERVICE", "");
    if (service.isEmpty()) {
      System.err.println("SERVICE is not set: say whose invocations are to be killed");
      System.exit(2);
    }
    String batch = Records.env("BATCH", "b-" + UUID.randomUUID());
    start(batch, service);
    GenericRecord end = follow(batch);
    if (end.get("error") != null) {
      System.err.println(end.get("error"));
    }
    System.exit(end.get("state").toString().equals("COMPLETED") ? 0 : 1);
  }

  /** Returns once the command is in the log. Sent again with the same id and content, it still runs once. */
  private static void start(String batch, String service) throws Exception {
    Schema schema = Records.schema("StartBatch");
    Schema filter = schema.getField("filter").schema();
    Schema action = schema.getField("action").schema();
    GenericRecord command =
        new GenericRecordBuilder(schema)
            .set("batch_id", batch)
            .set("action", new GenericData.EnumSymbol(action, "KILL"))
            .set("filter", new GenericRecordBuilder(filter).set("services", List.of(service)).build())
            .set("reason", "bad deploy")
            .build();
    Map<String, Object> properties = Map.of("bootstrap.servers", BOOTSTRAP);
    try (var producer = new KafkaProducer<>(properties, new StringSerializer(), new ByteArraySerializer())) {
      // The key decides the partition: Kafka's own partitioner is what the service counts on.
      producer.send(new ProducerRecord<>(PREFIX + "commands", batch, Records.encode(command))).get();
    }
  }

  /** Prints each progress of the batch and returns the last. */
  private static GenericRecord follow(String batch) throws IOException {
    var decoder = new BinaryMessageDecoder<GenericRecord>(GenericData.get(), Records.schema("BatchProgress"));
    Map<String, Object> properties =
        Map.of("bootstrap.servers", BOOTSTRAP, "isolation.level", "read_committed", "enable.auto.commit", false);
    try (var consumer = new KafkaConsumer<>(properties, new StringDeserializer(), new ByteArrayDeserializer())) {
      List<TopicPartition> partitions =
          consumer.partitionsFor(PREFIX + "batches").stream()
              .map(each -> new TopicPartition(each.topic(), each.partition()))
              .toList();
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      long newest = -1;
      while (true) {
        for (ConsumerRecord<String, byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
          if (!batch.equals(record.key()) || record.value() == null) {
            continue;
          }
          GenericRecord progress = decoder.decode(record.value());
          long revision = (Long) progress.get("revision");
          if (revision <= newest) {
            continue; // absolute values: the highest revision wins
          }
          newest = revision;
          print(progress);
          if (FINAL.contains(progress.get("state").toString())) {
            return progress;
          }
        }
      }
    }
  }

  private static void print(GenericRecord progress) {
    System.out.printf(
        "%s %s matched=%d done=%d pending=%d skipped=%d failed=%d%n",
        progress.get("batch_id"),
        progress.get("state"),
        progress.get("matched"),
        progress.get("done"),
        progress.get("pending"),
        progress.get("skipped"),
        progress.get("failed"));
  }
}
