#ifndef STROBE_TILE_TILE_PROGRAM_H
#define STROBE_TILE_TILE_PROGRAM_H

/** \file
 * The tile program: what one block of rows does, tile by tile. This file is the
 * whole node set. It can be printed (PrintTiles.h), verified (VerifyTiles.h),
 * interpreted on plain arrays (InterpretTiles.h), and lowered to Halide IR for
 * the CPU and for CUDA (lower/).
 *
 * Exprs inside a tile program:
 *  - an axis is an Int(32) Variable: the coordinate of the current element (not
 *    of the tile); "<axis>.lo" and "<axis>.hi" are the tile's inclusive corners,
 *    clamped to the axis' domain;
 *  - a tile value is a Variable with its name: its element at the current
 *    point (a value without an axis is broadcast along it);
 *  - elements beyond an axis' domain are computed and dropped: a Load gives 0
 *    there, the guard is false beyond the end of the stream, a Store skips rows
 *    beyond the end of the query axis. An Image Call outside a Load may read
 *    anything there, but must not fault;
 *  - input elements, scalars and extents as in ReductionGraph.h;
 *  - exp, log, tanh ... are Halide's; the exponent's base is e.
 */

#include "derivation/BoundMasks.h"

#include <memory>

namespace strobe {

/** Where a tile value lives; the lowering must honour it, the interpreter ignores it. */
enum class Place {
    Shared,    // operand tiles, staged from global memory or computed (by a Map) from such
    Fragment,  // matrix-unit accumulators and what is computed from them
    Row,       // one element a row, in registers
    Column,    // one element a streamed column
    Uniform
};  // one element a block

const char *name_of(Place place);

/** A dimension of a tile value: `size` elements of an axis starting at the tile's corner. */
struct TileDim {
    std::string axis;
    int size = 0;  // a compile-time constant; the axis' domain may end inside the tile
};

struct TileValue {
    std::string name;  // "%s", "%m0", ...
    Type type;
    std::vector<TileDim> dims;  // outermost first: rows, then columns
    Place place = Place::Fragment;
};

struct TileOp {
    enum class Kind {
        Load,      // dst[dims] = expr, an input's Image Call; 0 outside the input's domain
        Fill,      // dst[dims] = expr, a constant
        Contract,  // dst[m, n] (+)= sum over `axis` of a[m, axis] * b[axis, n], or of a[m, axis] * b[m, axis, n]
        Map,       // dst[dims] = expr, elementwise; may read its own dst
        Reduce,    // dst[dims] = (op) over `axis` of expr: any axis that dst lacks; expr may have all of both
        Scan,      // dst[dims] = (op) over the elements of `axis` in this tile up to the current one, of expr
        Store
    };                                    // output `dst`[out_axes] = expr where inside its domain
    /** Partial: only in tiles that the mask's verdict calls partial; before the walk, only where `started`. */
    enum class When { Always, Partial };

    Kind kind = Kind::Map;
    When when = When::Always;
    std::string dst;
    Expr expr;
    ReduceOp op = ReduceOp::Sum;        // Reduce, Scan
    std::string axis;                   // Contract, Reduce, Scan: there one of dst's own axes
    std::string a, b;                   // Contract: tile values. `a` is rounded to a_type first
    Type operand_type;                  // Contract: what both operands are rounded to
    bool held = false;                  // Contract: `a`, which a whole block shares, stays in registers
    bool accumulate = false;            // Contract: add to dst
    std::vector<std::string> out_axes;  // Store
    std::string note;                   // printed behind the op: a stage count, an instruction
};

/** One walk over the stream, in tiles aligned at the axis' min: those that meet
 * [mask.begin, mask.end), clamped to the domain. */
struct StreamPass {
    /** guard: undefined if no tile needs one; the tail of the stream is included in
     * guard and full. dead and full are always defined. */
    MaskVerdict mask;
    std::vector<TileOp> prologue;  // per block of rows, before the walk
    std::vector<TileOp> step;      // per live tile of the stream
    std::vector<TileOp> epilogue;  // per block of rows, after the walk
    /** Bool over the block's corners: sums ahead have something for these rows. Undefined: there are none. */
    Expr started;

    /** If the walk has parts: what it carries from tile to tile, and the ops that take the
     * state of one more part, in values of the same names with ".other" behind, into it. */
    std::vector<std::string> state;
    std::vector<TileOp> merge;
};

/** The other part's value of a state. */
std::string other_part(const std::string &value);

struct SumsAhead;

/** A whole program: for every point of `grid` and every block of `query`, each pass. */
struct TileProgram {
    std::string name;
    std::vector<Axis> grid;  // batch axes, innermost first
    Axis query, stream;
    std::vector<Axis>
        columns;  // feature and inner axes: whole inside a tile, their TileDim size = extent (to be checked)
    std::map<std::string, int> column_sizes;  // constants
    int query_tile = 0, stream_tile = 0;
    /** The tiles that a walk visits are dealt to so many parts in order, ceil(tiles / parts)
     * each. Each part starts from the prologue; then a block merges them in order into
     * what the prologue leaves, and goes on with the epilogue. */
    int parts = 1;
    bool query_descending = false;  // blocks with the last rows first
    /** Of a grid axis, how many points one block has, each with threads of its own, if not one (SharePoints.h). */
    std::map<std::string, int> points;
    std::vector<TileValue> values;
    std::vector<StreamPass> passes;
    std::vector<Output> outputs;  // names, types and axes; their values are in the Store ops
    Roles roles;
    /** What is computed before, once for all blocks of rows; null if nothing is. */
    std::shared_ptr<const SumsAhead> ahead;

    const TileValue &value(const std::string &name) const;
    bool has_value(const std::string &name) const;
    /** Any axis of the program: grid, query, stream or column. */
    const Axis &axis(const std::string &name) const;
};

/** Sums over chunks of the stream (rule R8). Each output of `program` is an array that the program reads
 * after: the sum over one chunk at first, and when all are there, that over all chunks up to it. */
struct SumsAhead {
    TileProgram program;  // its rows are features, and `chunk` is an axis of its grid
    std::string axis;     // of the program after: what its rows are there
    Axis chunk;
    int size = 0;  // elements of the stream in a chunk, a multiple of its tiles

    /** The elements of an array for one chunk at one point of the grid, which lie together. */
    int elements(const Output &array) const;
    /** The axes of its outer dimensions, innermost first: the chunk, then the grid. */
    std::vector<Axis> outer(const Output &array) const;
};

}  // namespace strobe

#endif
