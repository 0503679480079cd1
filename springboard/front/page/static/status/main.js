// @ts-check
const app = document.getElementById("app");
if (app) app.textContent = "Springboard; its figures are at metrics.";
export {};
