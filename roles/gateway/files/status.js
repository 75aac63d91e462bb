// Copyright: (c) 2026, gpuserve.fleet contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
//
// What the gateway itself answers: the list of models, its health, its figures; and the watch over engines and the drain folder that
// these rest on. The rules are those of gateway.js.

import fs from 'fs';
import door from 'gateway.js';

const EDGES = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];

function answer(r) {
    const wanted = door.target(r.uri);
    if (wanted.kind === 'health') {
        return health(r);
    }
    const key = door.keyOf(r);
    if (wanted.kind === 'models') {
        return listModels(r, key);
    }
    return oneModel(r, key, wanted);
}

// Per model: requests by status, and how many fell into each bucket of the two histograms.
function tally(dict) {
    const found = {statuses: {}, whole: {}, first: {}, rejected: {}};
    const keys = dict.keys(100000);
    for (let at = 0; at < keys.length; at++) {
        const part = keys[at].split(' ');
        const value = dict.get(keys[at]);
        if (part[0] === 'rejected') {
            add(found.rejected, part[2], part[1], value);
        } else if (part[0] === 'ended') {
            add(found.statuses, part[1], part[2], value);
            if (part.length > 3) {
                add(found.whole, part[1], part[3], value);
            }
            if (part.length > 4) {
                add(found.first, part[1], part[4], value);
            }
        }
    }
    return found;
}

function add(counts, model, what, value) {
    const counted = counts[model] || (counts[model] = {});
    counted[what] = (counted[what] || 0) + value;
}

function metrics(r) {
    const dict = ngx.shared.gw;
    const found = tally(dict);
    const lines = ['# TYPE gpuserve_gateway_requests_total counter'];
    listed(lines, 'gpuserve_gateway_requests_total', found.statuses, 'status');
    lines.push('# TYPE gpuserve_gateway_rejected_total counter');
    listed(lines, 'gpuserve_gateway_rejected_total', found.rejected, 'reason');
    const tail = ['# TYPE gpuserve_gateway_in_flight gauge'];
    const up = ['# TYPE gpuserve_gateway_endpoint_up gauge'];
    const whole = ['# TYPE gpuserve_gateway_request_seconds histogram'];
    const first = ['# TYPE gpuserve_gateway_first_byte_seconds histogram'];
    for (let index = 0; index < data.models.length; index++) {
        const model = data.models[index];
        histogram(whole, 'gpuserve_gateway_request_seconds', model.name, found.whole, dict.get('sum ' + model.name));
        histogram(first, 'gpuserve_gateway_first_byte_seconds', model.name, found.first, dict.get('first ' + model.name));
        for (let at = 0; at < model.all.length; at++) {
            const label = '{model="' + model.name + '",endpoint="' + model.all[at] + '"} ';
            const answers = dict.get('up ' + model.all[at]) || 0;
            tail.push('gpuserve_gateway_in_flight' + label + (dict.get('in ' + model.all[at]) || 0));
            // A stand-in that is not there is no endpoint that is down.
            if (answers || at < model.endpoints.length) {
                up.push('gpuserve_gateway_endpoint_up' + label + answers);
            }
        }
    }
    r.headersOut['Content-Type'] = 'text/plain; version=0.0.4';
    r.return(200, lines.concat(tail, up, whole, first).join('\n') + '\n');
}

function listed(lines, title, counts, label) {
    const models = Object.keys(counts).sort();
    for (let at = 0; at < models.length; at++) {
        const names = Object.keys(counts[models[at]]).sort();
        for (let number = 0; number < names.length; number++) {
            lines.push(title + '{model="' + models[at] + '",' + label + '="' + names[number] + '"} ' + counts[models[at]][names[number]]);
        }
    }
}

function histogram(lines, title, model, counts, seconds) {
    const counted = counts[model] || {};
    let sum = 0;
    for (let at = 0; at <= EDGES.length; at++) {
        sum += counted[at] || 0;
        const edge = at < EDGES.length ? EDGES[at] : '+Inf';
        lines.push(title + '_bucket{model="' + model + '",le="' + edge + '"} ' + sum);
    }
    lines.push(title + '_sum{model="' + model + '"} ' + (seconds || 0));
    lines.push(title + '_count{model="' + model + '"} ' + sum);
}

// ready, draining, down, or starting while nothing has been heard yet. A stand-in counts only while it answers.
function statusOf(index) {
    const dict = ngx.shared.gw;
    const model = data.models[index];
    let draining = 0;
    let down = 0;
    for (let at = 0; at < model.all.length; at++) {
        const state = dict.get('up ' + model.all[at]);
        const mayTake = !door.drained(model.all[at]);
        if (state === 1 && mayTake) {
            return 'ready';
        }
        if (at < model.endpoints.length) {
            draining += mayTake ? 0 : 1;
            down += mayTake && state === 0 ? 1 : 0;
        }
    }
    if (draining + down < model.endpoints.length) {
        return 'starting';
    }
    return down ? 'down' : 'draining';
}

function describe(index, id) {
    const model = data.models[index];
    return {id: id, object: 'model', created: data.created, owned_by: 'gpuserve', root: model.name, parent: null,
        max_model_len: model.max_model_len, status: statusOf(index)};
}

function listModels(r, key) {
    const onlyReady = r.args.ready === 'true';
    const found = [];
    for (let index = 0; index < data.models.length; index++) {
        if (!door.mayUse(key, index)) {
            continue;
        }
        const model = data.models[index];
        const ids = [model.name];
        gather(ids, model.aliases);
        gather(ids, model.adapters);
        for (let at = 0; at < ids.length; at++) {
            const entry = describe(index, ids[at]);
            if (!onlyReady || entry.status === 'ready') {
                found.push(entry);
            }
        }
    }
    r.headersOut['Content-Type'] = 'application/json';
    r.return(200, JSON.stringify({object: 'list', data: found}) + '\n');
}

function gather(into, list) {
    for (let at = 0; at < list.length; at++) {
        into.push(list[at]);
    }
}

function oneModel(r, key, wanted) {
    if (wanted.model < 0 || !door.mayUse(key, wanted.model)) {
        return door.unknownModel(r, key, wanted.name);
    }
    r.headersOut['Content-Type'] = 'application/json';
    r.return(200, JSON.stringify(describe(wanted.model, wanted.name)) + '\n');
}

function health(r) {
    const states = {};
    const missing = [];
    for (let index = 0; index < data.models.length; index++) {
        const name = data.models[index].name;
        states[name] = statusOf(index);
        if (states[name] !== 'ready') {
            missing.push(name);
        }
    }
    r.headersOut['Content-Type'] = 'application/json';
    r.headersOut['Cache-Control'] = 'no-store';
    r.return(missing.length ? 503 : 200, JSON.stringify({
        status: missing.length ? 'not ready: ' + missing.join(', ') : 'ready',
        models: states, generation: data.generation}) + '\n');
}

// Asks every engine how it is, from one worker, every few seconds.
async function watch() {
    const asked = [];
    for (let at = 0; at < data.watched.length; at++) {
        asked.push(look(data.watched[at]));
    }
    await Promise.all(asked);
}

async function look(address) {
    let good = false;
    try {
        const reply = await ngx.fetch('http://' + address + '/health');
        good = reply.status === 200;
    } catch (error) {
        good = false;
    }
    const dict = ngx.shared.gw;
    if (good) {
        dict.set('failed ' + address, 0);
        if (dict.get('up ' + address) !== 1) {
            dict.set('since ' + address, Date.now() / 1000);
            dict.set('up ' + address, 1);
        }
        return;
    }
    // One slow answer of a busy engine is no failure; two in a row are.
    const failed = dict.incr('failed ' + address, 1, 0);
    if (failed >= 2 || dict.get('up ' + address) !== 1) {
        dict.set('up ' + address, 0);
    }
}

// A file in the drain folder that is named like an endpoint keeps new requests away from it. Requests look at a number only.
function drains() {
    let named = [];
    try {
        named = fs.readdirSync('/draining');
    } catch (error) {
        // No folder names nothing.
    }
    for (let at = 0; at < data.watched.length; at++) {
        ngx.shared.gw.set('drain ' + data.watched[at], named.indexOf(data.watched[at]) < 0 ? 0 : 1);
    }
}

export default {answer, metrics, watch, drains};
