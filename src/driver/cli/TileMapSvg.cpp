#include "TileMapSvg.h"

#include <algorithm>
#include <sstream>

namespace strobe {

namespace {

struct Look {
    TileVerdict verdict;
    const char *name, *color;
};

const Look looks[] = {{TileVerdict::Full, "full: no mask code", "#2a6f97"},
                      {TileVerdict::Partial, "partial: masked element by element", "#e9a03b"},
                      {TileVerdict::Dead, "dead: not computed", "#eceff1"}};

const char *color_of(TileVerdict verdict) {
    for (const Look &look : looks) {
        if (look.verdict == verdict) {
            return look.color;
        }
    }
    return "none";
}

std::string escaped(const std::string &text) {
    std::string result;
    for (char c : text) {
        result += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : std::string(1, c);
    }
    return result;
}

}  // namespace

std::string tile_map_svg(const TileMap &map, const std::string &title) {
    const int rows = static_cast<int>(map.rows.size());
    const int columns = rows ? static_cast<int>(map.rows[0].size()) : 0;
    // Squares in elements: a tile of 128 keys is twice as wide as one of 64.
    const double pixel = 480.0 / std::max({1, rows * map.query_tile, columns * map.stream_tile});
    const double width = columns * map.stream_tile * pixel, height = rows * map.query_tile * pixel;
    std::ostringstream svg;
    svg << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" << std::max(width, 300.0) + 40 << "\" height=\""
        << height + 125 << "\" font-family=\"sans-serif\" font-size=\"12\">\n"
        << "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        << "<text x=\"20\" y=\"22\" font-size=\"15\">" << escaped(title) << "</text>\n"
        << "<g transform=\"translate(20,36)\" stroke=\"white\" stroke-width=\"1\">\n";
    for (int r = 0; r < rows; r++) {
        for (int c = 0; c < columns; c++) {
            svg << "<rect x=\"" << c * map.stream_tile * pixel << "\" y=\"" << r * map.query_tile * pixel
                << "\" width=\"" << map.stream_tile * pixel << "\" height=\"" << map.query_tile * pixel << "\" fill=\""
                << color_of(map.rows[r][c]) << "\"/>\n";
        }
    }
    svg << "</g>\n";
    double y = height + 58;
    for (const Look &look : looks) {
        svg << "<rect x=\"20\" y=\"" << y - 10 << "\" width=\"12\" height=\"12\" fill=\"" << look.color << "\"/>"
            << "<text x=\"40\" y=\"" << y << "\">" << map.count(look.verdict) << " " << look.name << "</text>\n";
        y += 20;
    }
    svg << "</svg>\n";
    return svg.str();
}

}  // namespace strobe
