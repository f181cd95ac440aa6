#ifndef STROBE_DRIVER_CLI_TILE_MAP_SVG_H
#define STROBE_DRIVER_CLI_TILE_MAP_SVG_H

/** \file
 * A picture of which tiles are visited: one square a tile, rows of queries from
 * top to bottom, keys from left to right. */

#include "tile/InterpretTiles.h"

#include <string>

namespace strobe {

/** SVG text. \p title stands above the map, a legend with the counts below. */
std::string tile_map_svg(const TileMap &map, const std::string &title);

}  // namespace strobe

#endif
