#ifndef STROBE_LOWER_SIMT_BLOCK_H
#define STROBE_LOWER_SIMT_BLOCK_H

/** \file
 * What one block of threads does, as Halide IR. Between the statements that all
 * threads execute alike (loops over tiles, conditions on tiles, lets) stand loops
 * over the block's threads; one such loop may not use what another thread of the
 * same loop writes. Arrays of MemoryType::Register are a thread's own: they are
 * indexed as if there were one thread, by constants. Arrays of
 * MemoryType::GPUShared are the block's.
 *
 * The same statement becomes a GPU kernel or a serial program for a CPU, which
 * tests run: there, everything between two barriers runs to its end for one thread
 * before the next thread starts, so that a missing barrier shows in the results. */

#include "Halide.h"

#include <map>
#include <set>
#include <string>

namespace strobe::simt {

using Halide::Expr;
using Halide::Internal::Stmt;

/** The index of the current thread in its block. */
Expr thread();

/** for (thread = 0; thread < threads; thread++) body, in any order or at once. */
Stmt each_thread(int threads, const Stmt &body);

/** The shared-memory address of byte \p index of an array, for device intrinsics that
 * read, or that write, there. */
Expr shared_address(const std::string &array, const Expr &index, bool written);

/** Asynchronous writes: what is written between begin_writes and complete_writes may
 * arrive at any time until then. So it must not begin before earlier readers are done,
 * and is ordered by barriers behind complete_writes alone. */
Stmt begin_writes(const std::string &array);
Stmt complete_writes(const std::string &array);

/** Says, inside of a loop over threads, that each warp uses another part of the array there, or of
 * all divided arrays (""), and the same part wherever that is said. */
Stmt use_within_warp(const std::string &array = "");

/** All threads of the block wait for each other. */
Stmt barrier();

/** Arrays of the block, and those of them of which each warp may have a part. */
struct SharedArrays {
    std::set<std::string> names, divided;
};

/** Puts barriers where a loop over threads uses what an earlier one wrote to one of
 * the arrays, or writes what an earlier one used, also around loops over tiles: of a warp
 * where both use their warp's part alone, else of the block. */
Stmt place_barriers(const Stmt &block, const SharedArrays &arrays);

/** The kernel of a GPU block: one thread's part of \p block. */
Stmt gpu_kernel(const Stmt &block, int threads);

/** Moves each array to its offset, in bytes, from the start of the block's memory.
 * Halide's code generator takes address 0 for the start of every array, but from sm_90
 * on the first bytes are the system's: the start is asked for. Halide's simplifier
 * takes what lies behind an array's extent for unreachable, so nothing may be
 * simplified after this. */
Stmt shift_arrays(const Stmt &kernel, const std::map<std::string, int64_t> &offsets);

/** The block on a CPU; barriers part its loops over threads. \p descending: the last thread first. */
Stmt serial_block(const Stmt &block, int threads, bool descending);

}  // namespace strobe::simt

#endif
