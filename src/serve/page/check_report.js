/* What `tare check --html` shows: the view of a plan, whose data lie in the file itself. */
import {inspectView} from "./inspect.js";
import {themeButton} from "./theme.js";

themeButton(document.getElementById("theme"));
inspectView(document.getElementById("report"), JSON.parse(document.getElementById("data").textContent), null);
