import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Runs the invocations of one service, until SIGTERM. The payload says for how many milliseconds each pretends to work. */
public final class Executor implements ConsumerRebalanceListener {
  private static final String BOOTSTRAP = Records.env("BOOTSTRAP", "localhost:9092");
  private static final String PREFIX = Records.env("PREFIX", "invocations.");
  private static final String SERVICE = Records.env("SERVICE", "");
  private static final int MOST = 1000; // runs at once
  private static final int READ = 100; // signals at once

  private record Key(TopicPartition partition, long seq) {}

  private record Run(long attempt, CompletableFuture<String> stopped) {}

  /** The offset behind the last signal of a partition, and the offsets of those not dealt with yet. */
  private static final class Place {
    long next;
    final TreeSet<Long> open = new TreeSet<>();
  }

  private final Schema reports = Records.schema("ReportTransition");
  private final BinaryMessageDecoder<GenericRecord> signals =
      new BinaryMessageDecoder<>(GenericData.get(), Records.schema("Signal"));
  private final KafkaConsumer<String, byte[]> consumer =
      new KafkaConsumer<>(
          Map.of(
              "bootstrap.servers", BOOTSTRAP,
              "group.id", Records.env("GROUP", PREFIX + SERVICE + "-executors"),
              "auto.offset.reset", "earliest",
              "isolation.level", "read_committed",
              "enable.auto.commit", false,
              "max.poll.records", READ,
              "partition.assignment.strategy", CooperativeStickyAssignor.class.getName()),
          new StringDeserializer(),
          new ByteArrayDeserializer());
  private final KafkaProducer<String, byte[]> producer =
      new KafkaProducer<>(
          Map.of("bootstrap.servers", BOOTSTRAP, "acks", "all"), new StringSerializer(), new ByteArraySerializer());
  private final ExecutorService threads = Executors.newCachedThreadPool();
  private final ScheduledExecutorService timer = Executors.newScheduledThreadPool(1);
  private final Map<Key, Run> runs = new HashMap<>(); // each invocation that runs here; like places, guarded by this
  private final Map<TopicPartition, Place> places = new HashMap<>();
  private volatile boolean ending;

  private Executor() throws Exception {}

  /** Your handler: it gives up when `stopped` completes. It may run again after a restart, so let it be idempotent. */
  private static void handle(GenericRecord invocation, byte[] payload, Future<String> stopped) throws Exception {
    long ms = Long.parseLong("0" + new String(payload, StandardCharsets.UTF_8));
    try {
      throw new InterruptedException(stopped.get(ms, TimeUnit.MILLISECONDS));
    } catch (TimeoutException done) {
      return;
    }
  }

  public static void main(String[] args) throws Exception {
    if (SERVICE.isEmpty()) {
      System.err.println("SERVICE is not set: say whose invocations are to be run");
      System.exit(2);
    }
    Executor executor = new Executor();
    Thread main = Thread.currentThread();
    Runtime.getRuntime().addShutdownHook(new Thread(() -> executor.end(main)));
    orDie(executor::execute).run();
  }

  /** What has not ended runs again elsewhere, or in the next life. */
  private void end(Thread main) {
    ending = true;
    orDie(main::join).run();
    Runtime.getRuntime().halt(0);
  }

  private void execute() throws Exception {
    consumer.subscribe(List.of(PREFIX + "signals"), this);
    long committed = System.nanoTime();
    while (!ending) {
      if (room() < READ) {
        consumer.pause(consumer.assignment());
      } else {
        consumer.resume(consumer.paused());
      }
      for (ConsumerRecord<String, byte[]> each : consumer.poll(Duration.ofMillis(200))) {
        take(each);
      }
      if (System.nanoTime() - committed > 1_000_000_000) {
        committed = System.nanoTime();
        consumer.commitAsync(offsets(), null); // while partitions move it may be refused; the next one counts
      }
    }
    consumer.close(); // it revokes, and so commits
  }

  private synchronized int room() {
    return MOST - runs.size();
  }

  /** Deals with one signal; what takes time goes on beside. */
  private synchronized void take(ConsumerRecord<String, byte[]> record) throws Exception {
    GenericRecord signal = signals.decode(record.value());
    TopicPartition partition = new TopicPartition(record.topic(), record.partition());
    Place place = places.computeIfAbsent(partition, any -> new Place());
    place.next = record.offset() + 1;
    if (!SERVICE.equals(((GenericRecord) signal.get("invocation")).get("service").toString())) {
      return; // another executor's
    }
    String kind = signal.get("kind").toString();
    Key key = new Key(partition, (Long) signal.get("seq"));
    Run here = runs.get(key);
    boolean same = here != null && here.attempt == (Long) signal.get("attempt");
    if (kind.equals("START") && !same) {
      if (here != null) {
        here.stopped.complete("KILL"); // an earlier attempt
      }
      Run begun = new Run((Long) signal.get("attempt"), new CompletableFuture<>());
      runs.put(key, begun);
      beside(place, record.offset(), () -> run(key, begun, signal));
    } else if (!kind.equals("START") && same) {
      here.stopped.complete(kind); // the first stop counts: a repeat changes nothing
    } else if (kind.equals("CANCEL") && here == null) {
      beside(place, record.offset(), () -> report(signal, "CANCELLED", Map.of())); // nothing is left to stop
    }
  }

  /** Does what takes time: the signal is dealt with when it is done. */
  private void beside(Place place, long offset, Task task) {
    place.open.add(offset);
    threads.execute(
        orDie(
            () -> {
              task.run();
              synchronized (this) {
                place.open.remove(offset);
              }
            }));
  }

  private void run(Key key, Run run, GenericRecord signal) throws Exception {
    running(signal);
    GenericRecord invocation = (GenericRecord) signal.get("invocation");
    Future<?> renewal = null;
    AtomicBoolean over = new AtomicBoolean();
    if (invocation.get("lease_ms") instanceof Long lease) {
      long third = Math.max(1, lease / 3);
      renewal = timer.scheduleAtFixedRate(orDie(() -> renew(signal, over)), third, third, TimeUnit.MILLISECONDS);
    }
    byte[] payload = signal.get("payload") instanceof ByteBuffer given ? Records.bytes(given) : new byte[0];
    Exception error = null;
    try {
      handle(invocation, payload, run.stopped);
    } catch (Exception failed) {
      error = failed;
    }
    if (renewal != null) {
      renewal.cancel(false);
    }
    synchronized (over) {
      over.set(true);
    }
    String reason = run.stopped.getNow("");
    if (reason.equals("KILL") || reason.equals("LEAVE")) {
      // It has ended already, or runs again elsewhere.
    } else if (error == null) {
      report(signal, "COMPLETED", Map.of());
    } else if (reason.equals("CANCEL")) {
      report(signal, "CANCELLED", Map.of());
    } else if (reason.isEmpty()) {
      String text = error.toString();
      report(signal, "FAILED", Map.of("error", text.substring(0, Math.min(text.length(), 1000))));
    }
    synchronized (this) {
      runs.remove(key, run);
    }
  }

  /** No renewal comes behind the last report, where it would look like another run. */
  private void renew(GenericRecord signal, AtomicBoolean over) throws Exception {
    synchronized (over) {
      if (!over.get()) {
        running(signal);
      }
    }
  }

  /** Only RUNNING is numbered; it renews the lease, too. */
  private void running(GenericRecord signal) throws Exception {
    report(signal, "RUNNING", Map.of("report_no", System.currentTimeMillis() * 1000));
  }

  /** Returns once the report is in the log. `attempt` and `seq` are echoed: a report of another life is ignored. */
  private void report(GenericRecord signal, String to, Map<String, Object> more) throws Exception {
    String id = ((GenericRecord) signal.get("invocation")).get("invocation_id").toString();
    GenericRecordBuilder report =
        new GenericRecordBuilder(reports)
            .set("invocation_id", id)
            .set("attempt", signal.get("attempt"))
            .set("seq", signal.get("seq"))
            .set("to", new GenericData.EnumSymbol(reports.getField("to").schema(), to));
    more.forEach(report::set);
    String key = id.contains("~") ? id.substring(0, id.lastIndexOf('~')) : id; // the routing key: all before the last ~
    producer.send(new ProducerRecord<>(PREFIX + "commands", key, Records.encode(report.build()))).get();
  }

  /** How far each partition is dealt with: as far as its oldest open signal. */
  private synchronized Map<TopicPartition, OffsetAndMetadata> offsets() {
    Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
    places.forEach(
        (partition, place) ->
            offsets.put(partition, new OffsetAndMetadata(place.open.isEmpty() ? place.next : place.open.first())));
    return offsets;
  }

  @Override
  public void onPartitionsAssigned(Collection<TopicPartition> partitions) {}

  @Override
  public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
    try {
      consumer.commitSync(offsets());
    } catch (KafkaException refused) {
      System.err.println(refused); // some of it runs again
    }
    onPartitionsLost(partitions);
  }

  /** Stops what runs on partitions that have gone: whoever has them now begins it again. */
  @Override
  public synchronized void onPartitionsLost(Collection<TopicPartition> partitions) {
    places.keySet().removeAll(partitions);
    runs.forEach(
        (key, run) -> {
          if (partitions.contains(key.partition)) {
            run.stopped.complete("LEAVE");
          }
        });
    runs.keySet().removeIf(key -> partitions.contains(key.partition));
  }

  private interface Task {
    void run() throws Exception;
  }

  /** A report that is not in the log leaves its signal uncommitted: the next life begins with it. */
  private static Runnable orDie(Task task) {
    return () -> {
      try {
        task.run();
      } catch (Throwable error) {
        error.printStackTrace();
        Runtime.getRuntime().halt(1);
      }
    };
  }
}
