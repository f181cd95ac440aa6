#ifndef STROBE_LOWER_CUDA_ORDER_H
#define STROBE_LOWER_CUDA_ORDER_H

/** \file
 * Verdicts on tiles, taken before the main kernel, and blocks of rows in the order of
 * what they cost. A small kernel judges the tiles of each block, writes a few bits for
 * each, and files the block under a class of costs, which is the number of its live
 * tiles; the main kernel's tickets go through the classes from the longest: blocks are
 * handed out one by one, and a long one that starts last leaves the other
 * multiprocessors idle.
 *
 * Blocks whose verdicts are alike (the heads of a mask that does not know of heads)
 * are one *item*. A class is walked head by head, so that blocks that run together
 * stream the same tiles. Longest-processing-time-first scheduling: Graham, "Bounds on
 * multiprocessing timing anomalies", 1969; with classes half an octave wide nothing of
 * its balance was lost in simulation.
 *
 * Workspaces: `counts`, one unsigned integer a class, zero between launches; `items`,
 * for each class the numbers of its items, up to the number of all items; `chunks`, for
 * each item the first of the chunks of 32 tiles that its rows meet, and their number;
 * `verdicts`, for each item, chunk and 64 rows a word of the live tiles and one for each
 * part of the mask, of those that it holds for: 2 to 4 bits for 64 rows of a tile. */

#include "Code.h"
#include "Verdict.h"

namespace strobe::cuda {

struct BlockOrder {
    std::vector<std::string> axes;         // the grid axes that an item's verdicts depend on
    std::map<std::string, int> summaries;  // workspace of each summary over the stream
    int counts = 0, items = 0, chunks = 0, verdicts = 0;  // workspaces
};

/** Tiles that are judged together: one for each lane of a warp. */
const int chunk_tiles = 32;

/** Chunks of the whole stream. */
Expr stream_chunks(const TileProgram &program, const Expr &keys);

/** Address of the words of an item's verdicts on a chunk, for its first 64 rows. */
Expr verdict_address(const BlockOrder &order, const TileProgram &program, KernelParameters &parameters, const Expr &keys,
                     const Expr &item, const Expr &chunk, int words);

/** Classes of costs: one for each lane of a warp. */
const int cost_classes = 32;

/** Adds to the plan the workspaces, and the kernel that judges and files the items; it runs
 * after the summary kernels. */
BlockOrder add_order_kernel(const TileProgram &program, const StreamPass &pass, const PackageArguments &arguments,
                            KernelPackage &package, LaunchPlan &plan, const std::string &entry,
                            const std::map<std::string, int> &summaries,
                            std::vector<std::pair<Halide::Internal::Stmt, KernelParameters>> &bodies);

/** By a whole warp, once: registers that order_ticket reads. */
void load_order(Code &code, const BlockOrder &order, KernelParameters &parameters);

/** By a whole warp: register "work", the block of rows (rows fastest, then the grid's
 * axes in order) of the ticket in register "turn", and "item". */
void order_ticket(Code &code, const TileProgram &program, const BlockOrder &order, const PackageArguments &arguments,
                  const KernelPackage &package, KernelParameters &parameters);

/** Behind order_ticket: registers "chunk_first" and "chunk_count", of its item. */
void load_chunks(Code &code, const BlockOrder &order, KernelParameters &parameters);

/** By one thread, when nobody will call load_order any more in this launch. */
void clear_order(Code &code, const BlockOrder &order, KernelParameters &parameters);

}  // namespace strobe::cuda

#endif
