"use strict";
// Without this script the pictures stand side by side; with it two of them also lie on top of each other.
for (const slider of document.querySelectorAll(".slider")) {
  const strip = document.getElementById(slider.dataset.strip);
  const after = strip.querySelector("img[data-side=after]");
  const choices = [...strip.querySelectorAll("img[data-side=before]")];
  if (!after || !choices.length) continue;
  const stage = slider.querySelector(".stage");
  const range = stage.querySelector("input");
  const left = stage.querySelector(".left");
  const beneath = after.cloneNode();
  const above = document.createElement("div");
  above.className = "before";
  stage.prepend(beneath, above);
  const move = () => {
    stage.style.setProperty("--at", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} % ${left.textContent}, ${100 - range.value} % output`);
  };
  const choose = (image) => {
    above.replaceChildren(image.cloneNode());
    left.textContent = image.dataset.name;
    move();
  };
  const field = slider.querySelector(".choices");
  for (const [number, image] of choices.entries()) {
    const label = document.createElement("label");
    const radio = document.createElement("input");
    radio.type = "radio";
    radio.name = slider.dataset.strip;
    radio.checked = number === 0;
    radio.addEventListener("change", () => choose(image));
    label.append(radio, image.dataset.name);
    field.append(label);
  }
  range.addEventListener("input", move);
  choose(choices[0]);
  slider.hidden = false;
}
