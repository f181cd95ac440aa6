#ifndef STROBE_LOWER_CUDA_PREPARE_H
#define STROBE_LOWER_CUDA_PREPARE_H

/** \file
 * Operands of the matrix unit that are computed from inputs, element by element of a
 * row (a normalised and rotated key, say). A tile of them is the same for every block
 * of rows that meets it, so a kernel of its own computes each once, into memory that
 * holds the tiles as shared memory does: bulk copies bring them from there. */

#include "Parameters.h"

#include <optional>

namespace strobe::cuda {

/** A computed operand, over a row axis (query or stream) and a feature axis. */
struct PreparedTile {
    std::string name;  // of the tile value
    std::string axis, feature;
    std::vector<TileOp> ops;  // what computes it, in order; the last is its Map
    struct Outer {
        Expr index;          // over grid axes
        std::string buffer;  // whose dimension it indexes
        int dim = 0;
    };
    std::vector<Outer> outer;  // further dimensions of the whole operand
    bool in_block = false;     // the block whose rows these are computes them, without a kernel before
    int workspace = -1;
};

struct PreparedProgram {
    TileProgram program;  // the computed operands are Loads of a Variable of their name
    std::vector<PreparedTile> tiles;
    const PreparedTile *find(const std::string &name) const;
};

/** Takes apart what can be computed beforehand; the rest stays as it is. */
PreparedProgram prepare_operands(const TileProgram &program);

/** Leaves to the blocks what each block of rows needs by itself: tiles of rows that no other block has. */
void leave_rows_to_blocks(PreparedProgram &prepared);

/** Adds a workspace and a kernel for each prepared tile to the plan; `bodies` gets the
 * kernels. The plan's kernels must not move in memory from here on. */
void add_preparation_kernels(PreparedProgram &prepared, const PackageArguments &arguments, KernelPackage &package,
                             LaunchPlan &plan, const std::string &entry,
                             std::vector<std::pair<Halide::Internal::Stmt, KernelParameters>> &bodies);

/** The number of a tile among all: that of `tile` in the row axis, for these outer indices. */
Expr prepared_tile_number(const PreparedTile &prepared, const TileProgram &program, const PackageArguments &arguments,
                          const KernelPackage &package, KernelParameters &parameters, const Expr &tile,
                          const std::vector<Expr> &outer);

}  // namespace strobe::cuda

#endif
