#ifndef STROBE_TILE_SHARE_POINTS_H
#define STROBE_TILE_SHARE_POINTS_H

/** \file
 * Several points of a grid axis in one block: heads that read the same tile of an
 * input, say, which is then loaded once for all of them. */

#include "TileProgram.h"

namespace strobe {

/** Point number \p n of the block along an axis: an Int(32) Variable. Beyond the axis' end it is the last one. */
std::string point_of(const std::string &axis, int n);
/** The grid axis of which this is a point, or which it is; "" if it is neither. */
std::string grid_axis_of(const TileProgram &program, const std::string &name);

/** The program with so many points of a grid axis in each block. Ops and values that depend on the axis are there once
 * for each point; sums over the stream that only one value takes in are added to it directly. Blocks at the end of
 * the axis compute its last point several times. Throws UserError if the mask depends on the axis. */
TileProgram share_points(const TileProgram &program, const std::string &axis, int points);

/** A grid axis of which a block should have several points: sums over the stream that depend on it read elements for each
 * row and key that do not. "" if there is none, or the mask depends on it. */
std::string axis_to_share(const TileProgram &program);

}  // namespace strobe

#endif
