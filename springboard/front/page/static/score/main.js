// @ts-check
const app = document.getElementById("app");
if (app) app.textContent = "Springboard scores dives; its API is described at docs.";
export {};
