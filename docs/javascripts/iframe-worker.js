// Browsers refuse workers to pages that are opened as files. There the search runs in a hidden frame of the page: the
// interface of a worker as far as the theme's search uses it. The theme's own shim comes from another host.
class IFrameWorker extends EventTarget {
  constructor(url) {
    super();
    const frame = document.createElement("iframe");
    frame.hidden = true;
    document.body.appendChild(frame);
    this.inner = frame.contentWindow;
    this.ready = new Promise((resolve) => {
      frame.contentDocument.open();
      this.inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      this.inner.importScripts = (...scripts) =>
        scripts.reduce((before, src) => before.then(() => load(frame.contentDocument, src)), Promise.resolve());
      frame.contentDocument.write("<!doctype html><html><body></body></html>");
      frame.contentDocument.close();
      load(frame.contentDocument, url).then(resolve);
    });
  }

  postMessage(data) {
    this.ready.then(() => this.inner.dispatchEvent(new MessageEvent("message", { data })));
  }
}

function load(target, src) {
  return new Promise((resolve, reject) => {
    const script = target.createElement("script");
    script.src = src;
    script.onload = resolve;
    script.onerror = reject;
    target.body.appendChild(script);
  });
}

if (location.protocol === "file:") {
  window.IFrameWorker = IFrameWorker;
  window.Worker = IFrameWorker;
}
