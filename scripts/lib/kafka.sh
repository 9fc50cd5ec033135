# Where the jars of a real Kafka are and how they get there; sourced, never run. Needs common.sh.

KAFKA_JAVA=17
KAFKA_POM=$ROOT/scripts/lib/kafka.pom.xml
KAFKA_VERSION=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$KAFKA_POM")
KAFKA_JARS=$CACHE/kafka-$KAFKA_VERSION

kafka_jars_are_there() { [ -f "$KAFKA_JARS/complete" ]; }

kafka_fetch_jars() {
    say "fetching Kafka $KAFKA_VERSION from Maven Central into $KAFKA_JARS (45 MB, once)"
    mkdir -p "$KAFKA_JARS"
    mvn --quiet --batch-mode --file "$KAFKA_POM" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$KAFKA_JARS" >&2 ||
        fail "Maven could not fetch Kafka's jars; put those of a Kafka $KAFKA_VERSION into $KAFKA_JARS and do: touch $KAFKA_JARS/complete"
    # Written last: a fetch that was cut off is done again.
    touch "$KAFKA_JARS/complete"
}
