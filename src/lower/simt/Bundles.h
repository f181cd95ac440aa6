#ifndef STROBE_LOWER_SIMT_BUNDLES_H
#define STROBE_LOWER_SIMT_BUNDLES_H

/** \file
 * Tiles that are parts of the same rows of an input, such as the coordinates of a key's
 * points, each of which is a tile of its own. Where a block has several points of a grid
 * axis, they share an array, a row of the input a row of it, and are loaded together. */

#include "tile/TileProgram.h"

namespace strobe::simt {

struct Bundle {
    std::string array;
    std::vector<TileOp> loads;  // the first stands for all
    std::string rows, inner;    // axes of the tiles: a row each, and along it ("" if it is one element)
    std::vector<int> dims;      // of the input, that a row has, innermost first
    std::vector<int> extents;   // of these
    int row = 1, pitch = 1;     // elements of a row, and from one row to the next in the array

    bool has(const std::string &value) const;
    /** From an element to its neighbour in the tile, along a row. */
    int inner_stride() const;
    /** Of the tile's first element in a row. */
    int offset(const TileOp &load) const;
};

std::vector<Bundle> find_bundles(const TileProgram &program);

}  // namespace strobe::simt

#endif
