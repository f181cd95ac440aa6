#ifndef STROBE_LOWER_CPU_TILE_STORAGE_H
#define STROBE_LOWER_CPU_TILE_STORAGE_H

/** \file
 * Where the elements of a tile value lie in memory on the CPU, chosen once for a
 * whole program by how the value is used. The innermost dimension is the one that
 * vectors run along; it is padded to whole vectors. The second operand of a
 * contraction lies in panels: `panel` consecutive elements of the innermost
 * dimension for each element of the contracted one, so that the inner loop of a
 * contraction reads memory in order. */

#include "tile/TileProgram.h"

#include <map>

namespace strobe::cpu {

/** A position along one axis, relative to the tile's corner. Along the innermost
 * dimension vector and lane are kept apart, so that addresses stay ramps. */
struct Coord {
    Expr at;            // a scalar position, or
    Expr vector, lane;  // vector * lanes + lane
    Expr value(int lanes) const;
};

using Point = std::map<std::string, Coord>;

struct TileStorage {
    std::string name;               // of the allocation
    Type type;                      // float for 16-bit floats, uint8 for booleans
    Type rounded_to;                // the value's own type: what is stored is a value of this type
    std::vector<TileDim> dims;      // outermost first; the last one is padded
    int lanes = 8;
    int padded = 1;                 // size of the last dimension, a multiple of lanes
    int row_stride = 1;             // of the second last dimension; not of panels
    int panel = 0;                  // 0: plain rows

    bool has(const std::string &axis) const;
    const std::string &inner() const;  // name of the last dimension, or ""
    int64_t elements() const;
    /** The index of an element; dimensions that the value lacks are ignored. */
    Expr index(const Point &point) const;
    /** The element as an Expr of the value's own kind (booleans as booleans). */
    Expr load(const Point &point) const;
    /** The index of \p lanes consecutive elements along the last dimension, as a ramp. */
    Expr ramp(const Point &point, int count) const;
};

/** Storage of every value of \p program; `panel_vectors` vectors make a panel. */
std::map<std::string, TileStorage> place_values(const TileProgram &program, int lanes, int panel_vectors);

/** The storage of a value like \p like, laid out as the second operand of a contraction over \p axis. */
TileStorage panel_storage(const std::string &name, const TileValue &like, const std::string &axis,
                          int lanes, int panel_vectors);

}  // namespace strobe::cpu

#endif
