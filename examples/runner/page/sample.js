// The job file that the form makes.

const SCRIPT = `second=0
while [ "$second" -lt "$SECONDS_OF_WORK" ]; do
  sleep 1; second=$((second + 1)); echo "$MODEL in $REGION: $second s"
done
echo done`;

/**
 * @param {{questions: string[], models: string[], regions: string[], seconds: number}} fields
 * @returns {unknown} a job in its matrix form
 */
export function sample({ questions, models, regions, seconds }) {
  return {
    labels: { made_by: "portal" },
    matrix: { questions, models, regions },
    template: {
      executor: "process",
      input: {
        command: ["sh", "-c", SCRIPT],
        stdin: "{{question}}",
        env: { MODEL: "{{model}}", REGION: "{{region}}", SECONDS_OF_WORK: String(seconds) },
      },
    },
  };
}
