// The cancel button of beacon-jobs and its companions. One tag loads all of it, without a build step:
//
//   <script type="module" src="/ui/beacon-jobs.js"></script>
//   <beacon-cancel-button job-id="…" token-key="my-token"></beacon-cancel-button>
import { CancelButton } from "./cancel-button.js";
import { JobProgress } from "./job-progress.js";
import { Toasts } from "./toasts.js";

export { ApiError } from "./errors.js";
export { BeaconClient } from "./client.js";
export { CancelButton, JobProgress, Toasts };
export { showToast } from "./toasts.js";
export { cancelWords, errorWords, stopWords } from "./words.js";

customElements.define("beacon-toasts", Toasts);
customElements.define("beacon-cancel-button", CancelButton);
customElements.define("beacon-job-progress", JobProgress);
