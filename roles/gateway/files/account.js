// Copyright: (c) 2026, gpuserve.fleet contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
//
// Counts a request once it has ended, as the condition of its log line. njs sets up a machine of its own for this, so it holds nothing
// else, and each thing that it counts costs every request: status and both histograms are one number (status.js takes them apart).

// The upper edges of the histograms in seconds; status.js has the same.
const EDGES = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];

function bucket(seconds) {
    let at = 0;
    while (at < 13 && seconds > EDGES[at]) {
        at++;
    }
    return at;
}

function count(r) {
    const v = r.variables;
    const dict = ngx.shared.gw;
    const endpoint = v.gw_endpoint;
    if (!endpoint) {
        dict.incr('ended ' + (v.gw_model || '-') + ' ' + v.status, 1, 0);
        return '1';
    }
    dict.incr('in ' + endpoint, -1, 0);
    const model = v.gw_model;
    const status = v.status;
    if (status === '429' && (v.limit_req_status === 'REJECTED' || v.limit_conn_status === 'REJECTED')) {
        dict.incr('ended ' + model + ' 429', 1, 0);
        dict.incr('rejected ' + (v.limit_req_status === 'REJECTED' ? 'rate ' : 'concurrency ') + model, 1, 0);
        return '1';
    }
    const whole = Number(v.request_time);
    // Of several engines that were tried ("- : 0.001") the last.
    const times = v.upstream_header_time;
    const first = times === undefined ? NaN : Number(times.slice(times.lastIndexOf(' ') + 1));
    dict.incr('sum ' + model, whole, 0);
    if (first >= 0) {
        dict.incr('ended ' + model + ' ' + status + ' ' + bucket(whole) + ' ' + bucket(first), 1, 0);
        dict.incr('first ' + model, first, 0);
    } else {
        dict.incr('ended ' + model + ' ' + status + ' ' + bucket(whole), 1, 0);
    }
    return '1';
}

export default {count};
