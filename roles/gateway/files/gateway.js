// Copyright: (c) 2026, gpuserve.fleet contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
//
// The door's decisions: who may come in (gate), and to which engine a request goes (handle). It has to run on njs 0.8.9 and newer,
// so: no destructuring, no default parameters, no classes, no for-of.
// A name that a client sends is only ever looked up; nothing of it becomes part of an address, a header or a path.

import crypto from 'crypto';
import fs from 'fs';
import data from 'data.js';

// What an engine serves to clients, by the method it takes. Everything else of an engine stays closed.
const POSTS = data.posts;

function refusal(type, code, message, param) {
    return JSON.stringify({error: {message: message, type: type, param: param, code: code}}) + '\n';
}

function fail(r, status, type, code, message, param) {
    r.headersOut['Content-Type'] = 'application/json';
    r.return(status, refusal(type, code, message, param || null));
}

// A request's path, taken apart: {kind: post|models|model|health, model: index or -1, name, path: what the engine is asked}.
function target(uri) {
    if (POSTS[uri] === 1) {
        return {kind: 'post', model: -1, name: '', path: uri};
    }
    if (uri === '/v1/models') {
        return {kind: 'models', model: -1, name: '', path: uri};
    }
    if (uri === '/health') {
        return {kind: 'health', model: -1, name: '', path: uri};
    }
    // A name may hold slashes (Qwen/Qwen2.5-3B-Instruct), so what follows it is looked for from the end.
    let rest = '';
    if (uri.startsWith('/v1/models/')) {
        return {kind: 'model', model: known(uri.slice(11)), name: uri.slice(11), path: uri};
    }
    if (uri.startsWith('/m/')) {
        rest = uri.slice(3);
        const at = rest.indexOf('/v1/');
        if (at < 1) {
            return null;
        }
        return direct(rest.slice(0, at), rest.slice(at));
    }
    if (uri.startsWith('/v1/')) {
        rest = uri.slice(4);
        for (const path in data.direct) {
            // What follows the /v1 of an engine's path.
            const tail = path.slice(3);
            if (rest.endsWith(tail) && rest.length > tail.length) {
                return direct(rest.slice(0, rest.length - tail.length), path);
            }
        }
    }
    return null;
}

function direct(name, path) {
    const model = known(name);
    if (path === '/v1/models') {
        return {kind: 'model', model: model, name: name, path: path};
    }
    if (data.direct[path] !== 1) {
        return null;
    }
    return {kind: 'post', model: model, name: name, path: path};
}

// The index of the model that answers to a name, or -1. The prefix keeps names such as __proto__ harmless.
function known(name) {
    const found = data.names[':' + name];
    return found === undefined ? -1 : found;
}

function credential(r) {
    const authorization = r.headersIn['Authorization'];
    const other = r.headersIn['X-Api-Key'];
    let bearer = '';
    if (authorization !== undefined) {
        if (authorization.length < 8 || authorization.slice(0, 7).toLowerCase() !== 'bearer ') {
            return null;
        }
        bearer = authorization.slice(7).trim();
    }
    // Two different keys in one request: which one counts would be a guess.
    if (other !== undefined && bearer !== '' && other !== bearer) {
        return null;
    }
    return bearer || other || null;
}

// The record of the key that a request carries, or null. Looking up the digest of what was sent takes the same time whatever
// part of a key is right: how long it takes says nothing about the key.
function keyOf(r) {
    if (!data.auth) {
        return data.anyone;
    }
    const sent = credential(r);
    if (sent === null || sent.length > 256) {
        return null;
    }
    const key = data.keys[crypto.createHash('sha256').update(sent).digest('hex')];
    if (key === undefined || (key.expires && Date.now() >= key.expires * 1000)) {
        return null;
    }
    return key;
}

function mayUse(key, index) {
    return key.models === null || key.models.indexOf(index) >= 0;
}

function existing(key) {
    const names = [];
    for (let index = 0; index < data.models.length; index++) {
        if (mayUse(key, index)) {
            names.push(data.models[index].name);
        }
    }
    return names.join(', ') || 'none';
}

// Before the body is read: '' lets a request in, else the status to refuse it with; $gw_refusal is then what to say.
function gate(r) {
    const v = r.variables;
    const uri = r.uri;
    v.gw_path = uri.length > 200 ? uri.slice(0, 200) : uri;
    const wanted = target(uri);
    if (wanted === null) {
        v.gw_refusal = refusal('invalid_request_error', 'not_found', 'There is nothing at this path.', null);
        return '404';
    }
    if (wanted.kind === 'post' ? r.method !== 'POST' : r.method !== 'GET' && r.method !== 'HEAD') {
        v.gw_allow = wanted.kind === 'post' ? 'POST' : 'GET, HEAD';
        v.gw_refusal = refusal('invalid_request_error', 'method_not_allowed', 'This path takes ' + v.gw_allow + ' only.', null);
        return '405';
    }
    if (wanted.kind === 'health') {
        return '';
    }
    const key = keyOf(r);
    if (key === null) {
        v.gw_refusal = refusal('invalid_request_error', 'invalid_api_key',
            'No valid API key was sent: put one into "Authorization: Bearer KEY" or "x-api-key: KEY".', null);
        return '401';
    }
    v.gw_key = key.name;
    return '';
}

async function handle(r) {
    const wanted = target(r.uri);
    if (wanted.kind === 'health') {
        return health(r);
    }
    const key = keyOf(r);
    if (wanted.kind === 'models') {
        return listModels(r, key);
    }
    if (wanted.kind === 'model') {
        return oneModel(r, key, wanted);
    }
    let index = wanted.model;
    let name = wanted.name;
    if (!wanted.name) {
        let body;
        try {
            body = JSON.parse(r.requestText);
        } catch (error) {
            return notJson(r);
        }
        if (body === null || typeof body !== 'object' || Array.isArray(body)) {
            return fail(r, 400, 'invalid_request_error', 'invalid_json', 'The body has to be a JSON object.');
        }
        name = Object.prototype.hasOwnProperty.call(body, 'model') ? body.model : undefined;
        if (typeof name !== 'string' || name === '') {
            return fail(r, 400, 'invalid_request_error', 'missing_model',
                'The body has to name a "model" (a string); there are: ' + existing(key) + '.', 'model');
        }
        index = known(name);
        // An alias is ours: the engine has never heard of it.
        if (index >= 0 && data.models[index].aliases.indexOf(name) >= 0 && mayUse(key, index)) {
            body.model = data.models[index].name;
            r.variables.gw_body = JSON.stringify(body);
            return forward(r, key, index, '/_a/', wanted.path);
        }
    }
    if (index < 0 || !mayUse(key, index)) {
        return unknownModel(r, key, name);
    }
    forward(r, key, index, '/_u/', wanted.path);
}

function notJson(r) {
    const type = (r.headersIn['Content-Type'] || '').toLowerCase();
    if (type.startsWith('multipart/')) {
        return fail(r, 415, 'invalid_request_error', 'unsupported_media_type',
            'A multipart body names no model that can be read here: send it to /m/MODEL/v1/... instead.');
    }
    fail(r, 400, 'invalid_request_error', 'invalid_json',
        'The body is not JSON that can be read here (UTF-8, at most 32 levels deep).');
}

function unknownModel(r, key, name) {
    const shown = String(name).slice(0, 100);
    fail(r, 404, 'invalid_request_error', 'model_not_found',
        'The model `' + shown + '` does not exist here; there are: ' + existing(key) + '.', 'model');
}

function forward(r, key, index, way, path) {
    const model = data.models[index];
    const at = pick(r, key, model, '');
    r.variables.gw_model = model.name;
    if (at < 0) {
        return unavailable(r);
    }
    send(r, way + index + '/', model, at, path);
}

function send(r, way, model, at, path) {
    const address = model.all[at];
    ngx.shared.gw.incr('in ' + address, 1, 0);
    r.variables.gw_endpoint = address;
    r.internalRedirect(way + at + path);
}

function unavailable(r) {
    r.headersOut['Retry-After'] = '2';
    fail(r, 503, 'server_error', 'model_unavailable', 'The engine of this model takes nothing new right now; try again shortly.');
}

// nginx got no answer from an engine. A request that never reached it goes to another one; one that did is not sent twice.
function again(r) {
    const v = r.variables;
    const dict = ngx.shared.gw;
    if (lastOf(v.upstream_connect_time) === '-') {
        // Nobody else is sent there until the next look finds it well.
        dict.set('up ' + v.gw_endpoint, 0);
        // /_u/MODEL/ENDPOINT/v1/...
        const part = r.uri.split('/');
        const model = data.models[part[2]];
        v.gw_tried = v.gw_tried + ' ' + part[3] + ' ';
        const at = v.gw_tried.split('  ').length < 3 ? pick(r, keyOf(r) || data.anyone, model, v.gw_tried) : -1;
        if (at >= 0) {
            dict.incr('in ' + v.gw_endpoint, -1, 0);
            return send(r, '/' + part[1] + '/' + part[2] + '/', model, at, '/' + part.slice(4).join('/'));
        }
    }
    r.headersOut['Retry-After'] = '2';
    if (lastOf(v.upstream_status) === '504') {
        return fail(r, 504, 'server_error', 'model_timeout', 'The engine of this model took too long.');
    }
    fail(r, 502, 'server_error', 'model_unavailable', 'The engine of this model does not answer; try again shortly.');
}

// Of what nginx notes of each engine that it tried ("- : 0.001"), what belongs to the last.
function lastOf(times) {
    return times === undefined ? '' : times.slice(times.lastIndexOf(' ') + 1);
}

function drained(dict, address) {
    return data.draining.indexOf(address) >= 0 || dict.get('drain ' + address) === 1;
}

// Which endpoint a request goes to, -1 for none: of those not tried yet the one that the same sender always has, where that is asked
// for, else the least busy one. A stand-in has its turn while it answers and no endpoint does.
function pick(r, key, model, tried) {
    const dict = ngx.shared.gw;
    const now = Date.now() / 1000;
    const all = model.all;
    const usable = [];
    const ready = [];
    for (let at = 0; at < all.length; at++) {
        const standsIn = at >= model.endpoints.length;
        if ((standsIn && ready.length) || drained(dict, all[at]) || tried.indexOf(' ' + at + ' ') >= 0) {
            continue;
        }
        if (dict.get('up ' + all[at]) === 1) {
            ready.push(at);
            if (standsIn) {
                break;
            }
        } else if (!standsIn) {
            usable.push(at);
        }
    }
    // Where none is known to be ready, trying beats refusing.
    const candidates = ready.length ? ready : usable;
    if (candidates.length < 2) {
        return candidates.length ? candidates[0] : -1;
    }
    const sender = data.sticky === 'key' ? key.name : data.sticky ? r.headersIn[data.sticky] : '';
    let best = candidates[0];
    let bestScore = Infinity;
    for (let at = 0; at < candidates.length; at++) {
        const address = all[candidates[at]];
        let score;
        if (sender) {
            score = digestOf(sender + ' ' + address);
        } else {
            // A replica that has just come back is given its share little by little.
            const age = now - (dict.get('since ' + address) || 0);
            const weight = data.slow_start_s ? Math.min(1, Math.max(0.1, age / data.slow_start_s)) : 1;
            score = ((dict.get('in ' + address) || 0) + 1) / weight + Math.random() / 100;
        }
        if (score < bestScore) {
            best = candidates[at];
            bestScore = score;
        }
    }
    return best;
}

// FNV-1a: spreads senders over replicas such that one replica more or less moves few of them.
function digestOf(text) {
    let sum = 2166136261;
    for (let at = 0; at < text.length; at++) {
        sum = Math.imul(sum ^ text.charCodeAt(at), 16777619) >>> 0;
    }
    return Math.imul(sum ^ (sum >>> 15), 2246822519) >>> 0;
}

const BUCKETS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];

function observe(dict, name, model, seconds) {
    let at = 0;
    while (at < BUCKETS.length && seconds > BUCKETS[at]) {
        at++;
    }
    dict.incr(name + ' ' + at + ' ' + model, 1, 0);
    dict.incr(name + ' sum ' + model, seconds, 0);
}

// Runs once at the end of every request, as the condition of its log line: counts it.
function account(r) {
    const v = r.variables;
    const dict = ngx.shared.gw;
    const model = v.gw_model || '-';
    dict.incr('total ' + v.status + ' ' + model, 1, 0);
    if (!v.gw_endpoint) {
        return '1';
    }
    dict.incr('in ' + v.gw_endpoint, -1, 0);
    if (v.limit_req_status === 'REJECTED') {
        dict.incr('rejected rate ' + model, 1, 0);
    } else if (v.limit_conn_status === 'REJECTED') {
        dict.incr('rejected concurrency ' + model, 1, 0);
    } else {
        observe(dict, 'whole', model, Number(v.request_time));
        const first = parseFloat(lastOf(v.upstream_header_time));
        if (first >= 0) {
            observe(dict, 'first', model, first);
        }
    }
    return '1';
}

function metrics(r) {
    const dict = ngx.shared.gw;
    const lines = [];
    const keys = dict.keys(10000).sort();
    lines.push('# TYPE gpuserve_gateway_requests_total counter');
    const rejected = [];
    for (let at = 0; at < keys.length; at++) {
        const part = keys[at].split(' ');
        const value = dict.get(keys[at]);
        if (part[0] === 'total') {
            lines.push('gpuserve_gateway_requests_total{model="' + part[2] + '",status="' + part[1] + '"} ' + value);
        } else if (part[0] === 'rejected') {
            rejected.push('gpuserve_gateway_rejected_total{model="' + part[2] + '",reason="' + part[1] + '"} ' + value);
        }
    }
    lines.push('# TYPE gpuserve_gateway_rejected_total counter');
    const tail = ['# TYPE gpuserve_gateway_in_flight gauge'];
    const up = ['# TYPE gpuserve_gateway_endpoint_up gauge'];
    const whole = ['# TYPE gpuserve_gateway_request_seconds histogram'];
    const first = ['# TYPE gpuserve_gateway_first_byte_seconds histogram'];
    for (let index = 0; index < data.models.length; index++) {
        const model = data.models[index];
        histogram(dict, whole, 'whole', 'gpuserve_gateway_request_seconds', model.name);
        histogram(dict, first, 'first', 'gpuserve_gateway_first_byte_seconds', model.name);
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
    r.return(200, lines.concat(rejected, tail, up, whole, first).join('\n') + '\n');
}

function histogram(dict, lines, name, title, model) {
    let sum = 0;
    for (let at = 0; at <= BUCKETS.length; at++) {
        sum += dict.get(name + ' ' + at + ' ' + model) || 0;
        const edge = at < BUCKETS.length ? BUCKETS[at] : '+Inf';
        lines.push(title + '_bucket{model="' + model + '",le="' + edge + '"} ' + sum);
    }
    lines.push(title + '_sum{model="' + model + '"} ' + (dict.get(name + ' sum ' + model) || 0));
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
        const mayTake = !drained(dict, model.all[at]);
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
        if (!mayUse(key, index)) {
            continue;
        }
        const model = data.models[index];
        const ids = [model.name].concat(model.aliases, model.adapters);
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

function oneModel(r, key, wanted) {
    if (wanted.model < 0 || !mayUse(key, wanted.model)) {
        return unknownModel(r, key, wanted.name);
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

export default {gate, handle, again, watch, drains, account, metrics};
