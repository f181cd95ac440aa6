#ifndef STROBE_LOWER_CPU_TILE_STORAGE_H
#define STROBE_LOWER_CPU_TILE_STORAGE_H

/** \file
 * Where the elements of a tile value lie in memory on the CPU, chosen once for a
 * whole program. The innermost dimension is the one that vectors run along; it is
 * padded to whole vectors. It is the query axis wherever a value has that: a
 * reduction over keys or features then takes one element of each vector's lane at a
 * time, a contraction multiplies vectors of rows by single elements of keys and
 * values, which need neither be transposed nor packed, and what belongs to a key
 * alone is broadcast.
 *
 * A block of rows is done in strips, a strip in one turn from scores to weighted
 * sums. What lives longer than a turn has a place for each strip, one after
 * another; the rest has one place, which stays in the first-level cache. */

#include "tile/TileProgram.h"

#include <map>
#include <set>

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
    std::string name;           // of the allocation; values that never live at once may share one
    Type type;                  // float for 16-bit floats, uint8 for booleans
    Type rounded_to;            // the value's own type: what is stored is a value of this type
    std::vector<TileDim> dims;  // of a strip; outermost first; the last one is padded
    int lanes = 8;
    int row_stride = 1;         // of the second last dimension
    int strips = 1;             // places
    Expr strip;                 // the current one, if there are several

    bool has(const std::string &axis) const;
    const std::string &inner() const;  // name of the last dimension, or ""
    int64_t elements_of_strip() const;
    int64_t elements() const {
        return elements_of_strip() * strips;
    }
    /** The index of an element; dimensions that the value lacks are ignored. */
    Expr index(const Point &point) const;
    /** The element as an Expr of the value's own kind (booleans as booleans). */
    Expr load(const Point &point) const;
    /** The index of \p count consecutive elements along the last dimension, as a ramp. */
    Expr ramp(const Point &point, int count) const;
};

/** How a block of rows is divided. */
struct Strips {
    int rows = 0;   // of one, whole vectors
    int count = 1;  // of a block
    std::set<std::string> local;  // values that live no longer than a strip's turn

    /** The number of the current strip, a Variable. */
    static std::string counter(const TileProgram &program);
};

/** Storage of every value of \p program. */
std::map<std::string, TileStorage> place_values(const TileProgram &program, int lanes, const Strips &strips);

/** The storage of a value like \p like, with vectors along \p inner and one place. */
TileStorage storage_along(const std::string &name, const TileStorage &like, const std::string &inner);

}  // namespace strobe::cpu

#endif
