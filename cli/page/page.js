"use strict";
(() => {
	const EVERY_MS = 2000;
	const PLOT_EVERY_MS = 5000;
	const GIVE_UP_MS = 8000;
	const byId = (id) => document.getElementById(id);
	let isPaused = false;
	let heardAt = Date.now();
	let level = byId("state").dataset.level;

	async function ask(path, type) {
		let reply;
		try {
			reply = await fetch(path, {
				cache: "no-store", credentials: "omit",
				signal: AbortSignal.timeout(GIVE_UP_MS)});
		} catch (error) {
			throw new Error(error.name === "TimeoutError" ?
				"no answer within " + GIVE_UP_MS / 1000 + " s" :
				"nobody answers");
		}
		if (!reply.ok)
			throw new Error("it answers " + reply.status);
		return reply[type]();
	}

	/* Make old like fresh, touching only what differs: what somebody has
	 * selected or is reading stays where it is. */
	function morph(old, fresh) {
		if (old.nodeType !== fresh.nodeType ||
		    old.nodeName !== fresh.nodeName || old.id !== fresh.id) {
			old.replaceWith(fresh);
			return;
		}
		if (old.nodeType === Node.TEXT_NODE) {
			if (old.data !== fresh.data)
				old.data = fresh.data;
			return;
		}
		if (old.dataset && "own" in old.dataset)
			return;
		for (const a of [...old.attributes])
			if (!fresh.hasAttribute(a.name))
				old.removeAttribute(a.name);
		for (const a of fresh.attributes)
			if (old.getAttribute(a.name) !== a.value)
				old.setAttribute(a.name, a.value);
		const olds = [...old.childNodes];
		const freshes = [...fresh.childNodes];
		olds.slice(freshes.length).forEach((node) => node.remove());
		freshes.forEach((node, i) => {
			if (i < olds.length)
				morph(olds[i], node);
			else
				old.append(node);
		});
	}

	function say() {
		const text = byId("since");
		const time = new Date(heardAt).toLocaleTimeString();
		if (isPaused)
			text.textContent = "Paused since " + time + " ";
		else if (byId("stale").hidden)
			text.textContent = "Live, every " + EVERY_MS / 1000 + " s ";
		else
			text.textContent = "Not live ";
	}

	function stale(why) {
		const box = byId("stale");
		const text = "\u2716 No news since " +
			new Date(heardAt).toLocaleTimeString() + ": " + why +
			". What is below is old. See whether the service runs: systemctl status 'mbj@*'";
		if (box.textContent !== text)
			box.textContent = text;
		box.hidden = false;
		byId("state").classList.add("old");
		document.title = "NO NEWS: " + byId("state").dataset.name;
	}

	async function refresh() {
		try {
			const text = await ask("/state", "text");
			const fresh = new DOMParser().parseFromString(text, "text/html")
				.getElementById("state");
			if (!fresh)
				throw new Error("it answers something else");
			morph(byId("state"), fresh);
			heardAt = Date.now();
			byId("stale").hidden = true;
			const data = byId("state").dataset;
			document.title = data.title;
			/* Another store may answer at this address by now. */
			if (byId("name").textContent !== data.name)
				byId("name").textContent = data.name;
			if (data.level !== level)
				byId("spoken").textContent = "Now " + data.level;
			level = data.level;
		} catch (error) {
			stale(error.message || error.name);
		}
		say();
	}

	/* ------------------------------------------------------------- plots */

	const W = 480, H = 150, LEFT = 52, RIGHT = 8, TOP = 10, BOTTOM = 22;
	const TICKS = [[1e3, "1 s"], [1e4, "10 s"], [6e4, "1 min"], [6e5, "10 min"],
		[36e5, "1 h"], [864e5, "1 d"]];

	function put(parent, name, attributes, text) {
		const node = document.createElementNS("http://www.w3.org/2000/svg", name);
		for (const [key, value] of Object.entries(attributes))
			node.setAttribute(key, value);
		if (text !== undefined)
			node.textContent = text;
		parent.append(node);
		return node;
	}

	function duration(ms) {
		const s = Math.floor(ms / 1000);
		if (s < 60)
			return (ms / 1000).toFixed(1) + " s";
		if (s < 3600)
			return Math.floor(s / 60) + " min " + s % 60 + " s";
		return Math.floor(s / 3600) + " h " + Math.floor(s / 60) % 60 + " min";
	}

	/* Lag spans seconds to days: its logarithm does for both. */
	function draw(svg, series, limits, points, step) {
		const known = series.lagMs.filter((v) => v !== null);
		const most = Math.max(1e4, limits.critical * 1500, ...known) * 1.2;
		const y = (ms) => TOP + (H - TOP - BOTTOM) *
			(1 - Math.log(Math.max(ms, 300) / 300) / Math.log(most / 300));
		const x = (i) => W - RIGHT - (W - LEFT - RIGHT) *
			(series.lagMs.length - 1 - i) / (points - 1);

		for (const [ms, word] of TICKS.filter((t) => t[0] < most)) {
			put(svg, "line", {class: "axis", x1: LEFT, x2: W - RIGHT, y1: y(ms), y2: y(ms)});
			put(svg, "text", {class: "tick", x: LEFT - 6, y: y(ms) + 4, "text-anchor": "end"}, word);
		}
		for (const [word, seconds] of [["warning", limits.warning], ["critical", limits.critical]]) {
			put(svg, "line", {class: "limit", x1: LEFT, x2: W - RIGHT, y1: y(seconds * 1e3), y2: y(seconds * 1e3)});
			put(svg, "text", {class: "tick", x: LEFT + 4, y: y(seconds * 1e3) - 3}, word);
		}
		const minutes = Math.round(points * step / 60000);
		put(svg, "text", {class: "tick", x: LEFT, y: H - 6}, minutes + " min ago");
		put(svg, "text", {class: "tick", x: W - RIGHT, y: H - 6, "text-anchor": "end"}, "now");
		let path = "";
		let isDown = false;
		series.lagMs.forEach((v, i) => {
			/* A line of no length still has its round ends. */
			if (v !== null)
				path += (isDown ? "L" : "M") + x(i).toFixed(1) + " " + y(v).toFixed(1) +
					(isDown ? "" : "h0");
			isDown = v !== null;
		});
		/* An empty plot would look like no lag at all. */
		if (series.lagMs[series.lagMs.length - 1] === null)
			put(svg, "text", {class: "tick", x: W - RIGHT - 4, y: (H - BOTTOM + TOP) / 2, "text-anchor": "end"}, "not known \u2192");
		put(svg, "path", {class: "lag", d: path, "data-points": known.length});
	}

	function figure(series, history) {
		const figure = document.createElement("figure");
		const caption = document.createElement("figcaption");
		const known = series.lagMs.filter((v) => v !== null);
		const now = series.lagMs[series.lagMs.length - 1];
		const name = document.createElement("bdi");

		name.textContent = (series.name || series.instance).replace(
			/[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu,
			(c) => "\\u{" + c.codePointAt(0).toString(16) + "}");
		const text = ": " + (now === null ? "not known now" : duration(now) + " now") +
			(known.length ? ", " + duration(Math.max(...known)) + " at most" : "");
		caption.append(name, text);
		const svg = put(figure, "svg", {viewBox: `0 0 ${W} ${H}`, role: "img",
			"aria-label": "Lag of " + name.textContent + text});
		draw(svg, series, history, history.points, history.stepMs);
		figure.prepend(caption);
		return figure;
	}

	async function plot() {
		try {
			const history = await ask("/history.json", "json");
			byId("plots").replaceChildren(
				...history.list.map((series) => figure(series, history)));
			byId("lag").hidden = history.list.length === 0;
		} catch (error) {
			/* refresh says so. */
		}
	}

	/* -------------------------------------------------------------- begin */

	const since = document.createElement("span");
	since.id = "since";
	const button = document.createElement("button");
	button.textContent = "Pause";
	button.addEventListener("click", () => {
		isPaused = !isPaused;
		button.textContent = isPaused ? "Go on" : "Pause";
		say();
		if (isPaused) {
			byId("state").classList.add("old");
			document.title = "PAUSED: " + byId("state").dataset.name;
		} else {
			refresh();
		}
	});
	byId("live").replaceChildren(since, button);
	const loop = async (what, ms) => {
		for (;;) {
			if (!isPaused)
				await what();
			await new Promise((done) => setTimeout(done, ms));
		}
	};
	say();
	loop(refresh, EVERY_MS);
	loop(plot, PLOT_EVERY_MS);
})();
