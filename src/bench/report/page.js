const json = document.getElementById("report").textContent;
const link = document.getElementById("download");
link.href = URL.createObjectURL(new Blob([json], { type: "application/json" }));
link.hidden = false;
