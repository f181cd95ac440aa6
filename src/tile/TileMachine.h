#ifndef STROBE_TILE_TILE_MACHINE_H
#define STROBE_TILE_TILE_MACHINE_H

/** \file
 * The state of an interpreted block, and what each op does to it. The walk over
 * blocks and tiles is the interpreter's (InterpretTiles.h). */

#include "InterpretTiles.h"

namespace strobe {

/** Where a tile lies on its axis. */
struct TileRange {
    int64_t lo = 0, hi = -1;  // inclusive, clamped to the domain
    int64_t begin = 0;        // the first coordinate of the tile
};

/** The points of a tile, outermost dimension first, as strides over its axes. */
struct Points {
    std::vector<TileDim> dims;
    size_t count() const {
        size_t n = 1;
        for (const TileDim &d : dims) {
            n *= d.size;
        }
        return n;
    }
    /** The offset of point p within a dimension. */
    int at(size_t p, size_t d) const {
        for (size_t k = dims.size() - 1; k > d; k--) {
            p /= dims[k].size;
        }
        return (int)(p % dims[d].size);
    }
};

class TileMachine {
public:
    std::map<std::string, int64_t> point;     // the grid's axes
    std::map<std::string, TileRange> tiles;   // every other axis
    std::map<std::string, Lanes> values;      // tile values
    std::map<std::string, double> summaries;  // "%doc.j.min"

    TileMachine(const TileProgram &program, const TileArguments &arguments, Arithmetic arithmetic);

    /** \p load_tile: elements outside of the inputs are 0; else they are poison, to
     * show that nothing depends on them. */
    Lanes evaluate(const Expr &e, const Points &points, bool load_tile = false);
    int64_t evaluate_integer(const Expr &e);
    bool evaluate_bool(const Expr &e);
    TileRange domain_of(const Axis &a);

    /** Runs the ops in order; those for partial tiles only if the tile is. */
    void run(const std::vector<TileOp> &ops, bool partial);

private:
    const TileProgram &program;
    const TileArguments &arguments;
    const Arithmetic arithmetic;

    bool variable(const Halide::Internal::Variable &v, const Points &points, Lanes &lanes);
    void broadcast(const TileValue &value, const Points &points, Lanes &lanes);
    void load(const TileOp &op);
    void contract(const TileOp &op);
    void scan(const TileOp &op);
    void reduce(const TileOp &op);
    void store(const TileOp &op);
};

}  // namespace strobe

#endif
