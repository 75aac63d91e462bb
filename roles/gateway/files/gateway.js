// Copyright: (c) 2026, gpuserve.fleet contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
//
// The door's decisions: who may come in (gate), to which engine a request goes (handle), and where else it goes when that one can't be
// reached (again). It has to run on njs 0.8.9 and newer, so: no destructuring, no default parameters, no classes, no for-of.
//
// A name that a client sends is only ever looked up; nothing of it becomes part of an address, a header or a path.
//
// njs runs this file from its first line for every single request. So it holds only what most requests need, and what it decides by
// (`data`, from data.json) is loaded by nginx once. Lists in there have a length and no methods. Looking something up in there is what
// a request's way costs most, so what belongs to a name stands together: data.names[':NAME'] = {at: which model, alias, sole: the
// address of its endpoint where it has one and no stand-in}.

import crypto from 'crypto';

// What the gate found out about this very request; njs gives each request variables of its own.
let wanted = null;
let key = null;

function refusal(type, code, message, param) {
    return JSON.stringify({error: {message: message, type: type, param: param, code: code}}) + '\n';
}

function fail(r, status, type, code, message, param) {
    r.headersOut['Content-Type'] = 'application/json';
    r.return(status, refusal(type, code, message, param || null));
}

// A request's path, taken apart: {kind: post|models|model|health, model: index or -1, name, path: what the engine is asked}.
function target(uri) {
    if (data.posts[uri] === 1) {
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
    return found === undefined ? -1 : found.at;
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

function mayUse(owner, index) {
    return owner.models === null || owner.models[index] === 1;
}

function existing(owner) {
    const names = [];
    for (let index = 0; index < data.models.length; index++) {
        if (mayUse(owner, index)) {
            names.push(data.models[index].name);
        }
    }
    return names.join(', ') || 'none';
}

// Before the body is read: '' lets a request in, else the status to refuse it with; $gw_refusal is then what to say.
function gate(r) {
    const v = r.variables;
    wanted = target(r.uri);
    if (wanted === null) {
        v.gw_refusal = refusal('invalid_request_error', 'not_found', 'There is nothing at this path.', null);
        return '404';
    }
    const method = r.method;
    if (wanted.kind === 'post' ? method !== 'POST' : method !== 'GET' && method !== 'HEAD') {
        v.gw_allow = wanted.kind === 'post' ? 'POST' : 'GET, HEAD';
        v.gw_refusal = refusal('invalid_request_error', 'method_not_allowed', 'This path takes ' + v.gw_allow + ' only.', null);
        return '405';
    }
    if (wanted.kind === 'health') {
        return '';
    }
    key = keyOf(r);
    if (key === null) {
        v.gw_refusal = refusal('invalid_request_error', 'invalid_api_key',
            'No valid API key was sent: put one into "Authorization: Bearer KEY" or "x-api-key: KEY".', null);
        return '401';
    }
    v.gw_key = key.name;
    return '';
}

function handle(r) {
    if (wanted.kind !== 'post') {
        // status.js answers.
        return r.internalRedirect('@status');
    }
    let name = wanted.name;
    let body = null;
    if (!name) {
        try {
            body = JSON.parse(r.requestText);
        } catch (error) {
            return notJson(r);
        }
        if (body === null || typeof body !== 'object' || Array.isArray(body)) {
            return fail(r, 400, 'invalid_request_error', 'invalid_json', 'The body has to be a JSON object.');
        }
        // A member of its own, where a body has one: all else that an object answers to is no string.
        name = body.model;
        if (typeof name !== 'string' || name === '') {
            return fail(r, 400, 'invalid_request_error', 'missing_model',
                'The body has to name a "model" (a string); there are: ' + existing(key) + '.', 'model');
        }
    }
    const found = data.names[':' + name];
    if (found === undefined || !mayUse(key, found.at)) {
        return unknownModel(r, key, name);
    }
    let way = '/_u/';
    // An alias is ours: the engine has never heard of it.
    if (found.alias && body !== null) {
        body.model = data.models[found.at].name;
        r.variables.gw_body = JSON.stringify(body);
        way = '/_a/';
    }
    way += found.at + '/';
    const sole = found.sole;
    if (sole && !drained(sole)) {
        return send(r, way + '0', sole, wanted.path);
    }
    const model = data.models[found.at];
    const at = pick(r, key, model, '');
    if (at < 0) {
        r.variables.gw_model = model.name;
        return unavailable(r);
    }
    send(r, way + at, model.all[at], wanted.path);
}

function send(r, way, address, path) {
    ngx.shared.gw.incr('in ' + address, 1, 0);
    r.internalRedirect(way + path);
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

function unknownModel(r, owner, name) {
    const shown = String(name).slice(0, 100);
    fail(r, 404, 'invalid_request_error', 'model_not_found',
        'The model `' + shown + '` does not exist here; there are: ' + existing(owner) + '.', 'model');
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
            return send(r, '/' + part[1] + '/' + part[2] + '/' + at, model.all[at], '/' + part.slice(4).join('/'));
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

function drained(address) {
    return data.draining[address] === 1 || ngx.shared.gw.get('drain ' + address) === 1;
}

// Which endpoint a request goes to, -1 for none: of those not tried yet the one that the same sender always has, where that is asked
// for, else the least busy one. A stand-in has its turn while it answers and no endpoint does.
function pick(r, owner, model, tried) {
    const dict = ngx.shared.gw;
    const now = Date.now() / 1000;
    const all = model.all;
    const usable = [];
    const ready = [];
    for (let at = 0; at < all.length; at++) {
        const standsIn = at >= model.endpoints.length;
        if ((standsIn && ready.length) || drained(all[at]) || tried.indexOf(' ' + at + ' ') >= 0) {
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
    const sender = data.sticky === 'key' ? owner.name : data.sticky ? r.headersIn[data.sticky] : '';
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

export default {gate, handle, again, target, keyOf, known, mayUse, unknownModel, drained};
