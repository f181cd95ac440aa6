#include "BlockWalk.h"

#include "SummaryTables.h"

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

Expr var(const std::string &name) {
    return Variable::make(Int(32), name);
}

int points_of(const TileProgram &p, const Axis &a) {
    const auto found = p.points.find(a.name);
    return found == p.points.end() ? 1 : found->second;
}

/** Blocks along a grid axis. */
Expr grid_blocks(const TileProgram &p, const Axis &a) {
    const int points = points_of(p, a);
    return points == 1 ? a.extent : (a.extent + (points - 1)) / points;
}

/** Defines the corners of a tile of `size` elements, the first at \p lo. */
Stmt with_corners(const Axis &axis, int size, const Expr &lo, const Stmt &body) {
    const Stmt s = LetStmt::make(axis.name + ".hi",
                                 min(var(axis.name + ".lo") + (size - 1), axis.min + axis.extent - 1), body);
    return LetStmt::make(axis.name + ".lo", lo, s);
}

std::string end_of_walk(const TileProgram &p) {
    return p.stream.name + ".walk.end";
}

}  // namespace

Stmt for_next_tile(const TileProgram &p, const Stmt &body) {
    const Expr next = var(p.stream.name + ".lo") + p.stream_tile;
    const std::string lo = unique_name("next");
    const Stmt at = LetStmt::make(lo, next, with_corners(p.stream, p.stream_tile, var(lo), body));
    return IfThenElse::make(next < var(end_of_walk(p)), at);
}

Stmt before_walk(const StreamPass &pass, const std::function<Expr(const Expr &)> &evaluate,
                 const std::function<Stmt(const Expr &)> &lower) {
    if (!pass.started.defined()) {
        return lower(const_false());
    }
    const std::string empty = unique_name("empty");
    return LetStmt::make(empty, !evaluate(pass.started), lower(Variable::make(Bool(), empty)));
}

Stmt walk_tiles(const TileProgram &p, const StreamPass &pass, const std::function<Expr(const Expr &)> &evaluate,
                const std::function<Stmt(const Expr &)> &step, const Expr &part, const Stmt &before) {
    const std::string &axis = p.stream.name;
    const int size = p.stream_tile;
    const std::string turn = unique_name(axis + ".turn"), tile = unique_name(axis + ".tile");
    const std::string first = unique_name(axis + ".first"), last = unique_name(axis + ".last");
    const Expr turns = max(var(last) - var(first), 0);
    const auto corner = [&](const Expr &n) { return p.stream.min + n * size; };
    Stmt s = with_corners(p.stream, size, corner(var(tile)), step(var(tile)));
    s = LetStmt::make(tile, var(first) + var(turn), s);
    s = For::make(turn, 0, turns, ForType::Serial, Partition::Never, DeviceAPI::None, s);
    if (before.defined()) {
        s = Block::make(IfThenElse::make(turns > 0, with_corners(p.stream, size, corner(var(first)), before)), s);
        s = LetStmt::make(end_of_walk(p), corner(var(last)), s);
    }
    const Expr tiles = stream_tiles(p);
    Expr begin = 0, end = tiles;
    if (pass.mask.begin.defined()) {
        begin = max((evaluate(pass.mask.begin) - p.stream.min) / size, 0);
    }
    if (pass.mask.end.defined()) {
        end = min((evaluate(pass.mask.end) - p.stream.min + (size - 1)) / size, tiles);
    }
    if (p.parts == 1) {
        s = LetStmt::make(last, end, s);
        return LetStmt::make(first, begin, s);
    }
    const std::string low = unique_name(axis + ".begin"), high = unique_name(axis + ".end");
    const std::string share = unique_name("share");
    s = LetStmt::make(last, min(var(first) + var(share), var(high)), s);
    s = LetStmt::make(first, var(low) + part * var(share), s);
    s = LetStmt::make(share, (max(var(high) - var(low), 0) + (p.parts - 1)) / p.parts, s);
    s = LetStmt::make(high, end, s);
    return LetStmt::make(low, begin, s);
}

Expr first_point(const std::string &axis) {
    return var(axis + ".first");
}

Expr row_blocks(const TileProgram &p) {
    return (p.query.extent + (p.query_tile - 1)) / p.query_tile;
}

Expr task_count(const TileProgram &p) {
    Expr total = row_blocks(p);
    for (const Axis &a : p.grid) {
        total = total * grid_blocks(p, a);
    }
    return total;
}

Stmt at_task(const TileProgram &p, const std::string &task, const Stmt &block) {
    const std::string &axis = p.query.name;
    const std::string blocks = unique_name(axis + ".blocks"), number = unique_name(axis + ".block");
    Stmt s = with_corners(p.query, p.query_tile, p.query.min + var(number) * p.query_tile, block);
    const Expr in_order = var(task) % var(blocks);
    s = LetStmt::make(number, p.query_descending ? var(blocks) - 1 - in_order : in_order, s);
    Expr rest = var(task) / var(blocks);
    for (const Axis &a : p.grid) {
        const int points = points_of(p, a);
        const Expr blocks_there = grid_blocks(p, a);
        const Expr at = a.min + rest % blocks_there * points;
        s = LetStmt::make(points > 1 ? a.name + ".first" : a.name, at, s);
        rest = rest / blocks_there;
    }
    return LetStmt::make(blocks, row_blocks(p), s);
}

}  // namespace strobe
