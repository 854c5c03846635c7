// A browser, by the WebDriver protocol (https://www.w3.org/TR/webdriver2/).

import { spawn } from "node:child_process";

const STARTED_WITHIN_MS = 20_000;

export async function startDriver() {
  const driver = spawn("chromedriver", ["--port=0"], { stdio: ["ignore", "pipe", "inherit"] });
  const port = await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error("chromedriver names no port")), STARTED_WITHIN_MS);
    let said = "";
    driver.stdout.on("data", (text) => {
      said += text;
      const port = /successfully on port (\d+)/.exec(said)?.[1];
      if (port) {
        clearTimeout(late);
        resolve(port);
      }
    });
    driver.on("exit", (code) => reject(new Error(`chromedriver ended with ${code}`)));
  });
  return { url: `http://127.0.0.1:${port}`, stop: () => driver.kill() };
}

async function ask(url, method, body) {
  const answer = await fetch(url, { method, body: body && JSON.stringify(body) });
  const { value } = await answer.json();
  if (value?.error) throw new Error(`${value.error}: ${value.message.split("\n")[0]}`);
  return value;
}

export class Browser {
  static async open(driver) {
    const args = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"];
    const wanted = { "goog:chromeOptions": { args }, "goog:loggingPrefs": { browser: "ALL" } };
    const { sessionId } = await ask(`${driver.url}/session`, "POST", { capabilities: { alwaysMatch: wanted } });
    return new Browser(`${driver.url}/session/${sessionId}`);
  }

  constructor(session) {
    this.session = session;
  }

  go(url) {
    return ask(`${this.session}/url`, "POST", { url });
  }

  /** Runs a function in the page. */
  run(script, ...args) {
    return ask(`${this.session}/execute/sync`, "POST", { script: `return (${script})(...arguments)`, args });
  }

  /** The same with a function whose last argument is called with its result. */
  runLater(script, ...args) {
    return ask(`${this.session}/execute/async`, "POST", { script: `(${script})(...arguments)`, args });
  }

  back() {
    return ask(`${this.session}/back`, "POST", {});
  }

  /** Types, wherever the focus is. */
  async keys(text) {
    const actions = [...text].flatMap((value) => [{ type: "keyDown", value }, { type: "keyUp", value }]);
    await ask(`${this.session}/actions`, "POST", { actions: [{ type: "key", id: "keyboard", actions }] });
  }

  /** Moves the pointer. */
  async point(x, y) {
    const actions = [{ type: "pointerMove", duration: 0, x, y }];
    await ask(`${this.session}/actions`, "POST", { actions: [{ type: "pointer", id: "mouse", actions }] });
  }

  /** The width and height of the page, and its colours. */
  async look(width, height, scheme) {
    const metrics = { width, height, deviceScaleFactor: 1, mobile: width < 600 };
    await this.tool("Emulation.setDeviceMetricsOverride", metrics);
    await this.tool("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
  }

  tool(cmd, params) {
    return ask(`${this.session}/goog/cdp/execute`, "POST", { cmd, params });
  }

  async screenshot() {
    return Buffer.from(await ask(`${this.session}/screenshot`, "GET"), "base64");
  }

  /** What the browser complained of since it was asked last. */
  complaints() {
    return ask(`${this.session}/se/log`, "POST", { type: "browser" });
  }

  close() {
    return ask(this.session, "DELETE");
  }
}
