#ifndef STROBE_TILE_INTERPRET_TILES_H
#define STROBE_TILE_INTERPRET_TILES_H

/** \file
 * Runs a tile program op by op on plain arrays: the oracle for the lowerings.
 * Slow and simple; tile values are dense arrays of double or int64.
 *
 * Arithmetic::Declared rounds every operation to its type and the operands of a
 * contraction to their operand type; a contraction or a sum inside a tile is added
 * up in double and rounded once. Arithmetic::Exact computes all of it in double,
 * which is how a plan's algebra is checked.
 */

#include "EvaluateExpr.h"
#include "TileProgram.h"

#include <map>

namespace strobe {

/** What a program runs on. An output's buffer may have another element type than
 * the program declares (double, for exact results). */
struct TileArguments {
    std::map<std::string, Halide::Buffer<>> buffers;  // inputs and outputs
    std::map<std::string, double> scalars;
};

enum class TileVerdict { Dead, Partial, Full };

struct InterpretOptions {
    Arithmetic arithmetic = Arithmetic::Declared;
    /** Visit every tile of the stream, and treat each as partial. Changes nothing if the verdicts are sound. */
    bool ignore_verdicts = false;
};

void interpret_tiles(const TileProgram &program, const TileArguments &arguments, const InterpretOptions &options = {});

/** The verdicts of one pass at one point of the grid. */
struct TileMap {
    int query_tile = 0, stream_tile = 0;
    std::vector<std::vector<TileVerdict>> rows;  // [block of query][tile of stream]
    int count(TileVerdict verdict) const;
};

/** \p point: coordinates of the grid's axes; absent ones are at their min. */
TileMap tile_map(const TileProgram &program, size_t pass, const TileArguments &arguments,
                 const std::map<std::string, int> &point = {});

}  // namespace strobe

#endif
