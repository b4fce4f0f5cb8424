// What the attention kernels for Hopper share: where tiles and barriers of a block lie, and how they begin.
//
// Given to NVRTC as a named header, behind swan_hopper.cuh. Two blocks form a cluster and share the tiles of k and v; in
// each, two groups of four warps have 64 queries each.

#pragma once

#include <swan_hopper.cuh>

// Where everything lies in shared memory.
struct Places {
    unsigned q, k, v;                          // tiles
    unsigned q_full, k_full, v_full;           // barriers: copied
    unsigned k_empty, v_empty;                 // barriers: read by both groups of both blocks
};

// Lays out `Stages` tiles of k and of v behind q, from the next multiple of 1024 of `memory` on, and the barriers, of which
// there are 1 + 4 Stages; makes those, and waits for the other block's.
template <int Stages>
__device__ __forceinline__ Places lay_out(unsigned memory, unsigned barriers, unsigned q_bytes, unsigned tile_bytes) {
    Places at;
    at.q = (memory + 1023) / 1024 * 1024;
    at.k = at.q + q_bytes;
    at.v = at.k + Stages * tile_bytes;
    at.q_full = barriers;
    at.k_full = at.q_full + 8;
    at.v_full = at.k_full + 8 * Stages;
    at.k_empty = at.v_full + 8 * Stages;
    at.v_empty = at.k_empty + 8 * Stages;
    if (threadIdx.x == 0) {
        initialize_barrier(at.q_full, 1);
        for (unsigned stage = 0; stage < Stages; stage++) {
            initialize_barrier(at.k_full + 8 * stage, 1);
            initialize_barrier(at.v_full + 8 * stage, 1);
            // Eight warps of each of the two blocks.
            initialize_barrier(at.k_empty + 8 * stage, 16);
            initialize_barrier(at.v_empty + 8 * stage, 16);
        }
        publish_barriers();
    }
    cluster_barrier();
    return at;
}

// Both blocks' stages are read by both groups: a warp says so to both.
__device__ __forceinline__ void release(unsigned barrier, unsigned lane) {
    if (lane < 2) arrive_at(barrier, lane);
}
