#include "Transfer.h"

#include "InputElements.h"
#include "Strips.h"
#include "support/Error.h"

#include <algorithm>
#include <functional>

namespace strobe::cpu {

using namespace Halide;
using namespace Halide::Internal;

namespace {

Expr var(const std::string &name) {
    return Variable::make(Int(32), name);
}

/** The columns of a square block given by its rows, each handed to \p store, by
 * the shuffles that x86 has: pairs of elements, then pairs of pairs inside halves of
 * a vector, then halves (of 8 lanes); a zip of the vectors for other sizes. */
template<typename F>
Stmt transpose_block(const std::vector<Expr> &rows, F store) {
    const int n = (int)rows.size();
    std::vector<std::pair<std::string, Expr>> lets;
    auto bind = [&](const Expr &e) {
        lets.emplace_back(unique_name("block"), e);
        return Variable::make(e.type(), lets.back().first);
    };
    auto zip = [&](const Expr &a, const Expr &b, const std::vector<int> &lanes) { return bind(Shuffle::make({a, b}, lanes)); };
    std::vector<Expr> v;
    for (const Expr &r : rows) {
        v.push_back(bind(r));
    }
    if (n == 8) {
        std::vector<Expr> pairs(8), quads(8), columns(8);
        for (int r = 0; r < 8; r += 2) {
            pairs[r] = zip(v[r], v[r + 1], {0, 8, 1, 9, 4, 12, 5, 13});
            pairs[r + 1] = zip(v[r], v[r + 1], {2, 10, 3, 11, 6, 14, 7, 15});
        }
        for (int r = 0; r < 8; r += 4) {
            for (int k = 0; k < 2; k++) {
                quads[r + 2 * k] = zip(pairs[r + k], pairs[r + k + 2], {0, 1, 8, 9, 4, 5, 12, 13});
                quads[r + 2 * k + 1] = zip(pairs[r + k], pairs[r + k + 2], {2, 3, 10, 11, 6, 7, 14, 15});
            }
        }
        for (int k = 0; k < 4; k++) {
            columns[k] = zip(quads[k], quads[k + 4], {0, 1, 2, 3, 8, 9, 10, 11});
            columns[k + 4] = zip(quads[k], quads[k + 4], {4, 5, 6, 7, 12, 13, 14, 15});
        }
        v = columns;
    } else {
        std::vector<int> low, high;
        for (int k = 0; k < n / 2; k++) {
            low.insert(low.end(), {k, n + k});
            high.insert(high.end(), {n / 2 + k, n + n / 2 + k});
        }
        for (int stage = 1; stage < n; stage *= 2) {
            std::vector<Expr> next;
            for (int k = 0; k < n / 2; k++) {
                next.push_back(zip(v[k], v[k + n / 2], low));
                next.push_back(zip(v[k], v[k + n / 2], high));
            }
            v = next;
        }
    }
    std::vector<Stmt> stores;
    for (int t = 0; t < n; t++) {
        stores.push_back(store(t, v[t]));
    }
    Stmt s = Block::make(stores);
    for (auto it = lets.rbegin(); it != lets.rend(); ++it) {
        s = LetStmt::make(it->first, it->second, s);
    }
    return s;
}

/** Moves an input into a tile. */
class Loader {
    const Context &context;
    const TileOp &op;
    const TileStorage &dst;
    const Call *call;

    Expr in_domain(const Point &point) const {
        Expr inside = const_true();
        for (const TileDim &d : dst.dims) {
            inside = inside && point.at(d.axis).value(context.lanes) < context.valid(d);
        }
        return inside;
    }
    std::vector<std::string> all_axes() const {
        std::vector<std::string> names;
        for (const TileDim &d : dst.dims) {
            names.push_back(d.axis);
        }
        return names;
    }

public:
    Loader(const Context &c, const TileOp &o)
        : context(c), op(o), dst(c.at(o.dst)), call(image_call(o.expr)) {
        strobe_internal_assert(call) << "load of " << op.dst << " is not an input element: " << op.expr;
    }

    /** How many elements along a dimension are ever read. */
    Expr filled(const TileDim &d) const {
        const bool blocked = d.axis == context.program.query.name || d.axis == context.program.stream.name;
        const Expr count = blocked ? context.valid(d) : Expr(d.size);
        if (d.axis != dst.inner()) {
            return count;
        }
        return simplify((count + (context.lanes - 1)) / context.lanes * context.lanes);
    }

    /** One element, 0 outside the domain. */
    Stmt element(const Point &point) const {
        Expr value = context.evaluate(op.expr, point, all_axes());
        return store_element(dst, point, select(in_domain(point), value, make_zero(value.type())));
    }

    /** for x in [from, to) along each of dst's dimensions: element by element. */
    Stmt elements(const std::map<std::string, std::pair<Expr, Expr>> &ranges) const {
        Point point;
        std::vector<std::pair<std::string, Expr>> loops;
        for (const TileDim &d : dst.dims) {
            const auto &range = ranges.at(d.axis);
            loops.emplace_back(unique_name(d.axis + ".at"), simplify(range.second - range.first));
            point[d.axis].at = range.first + var(loops.back().first);
        }
        Stmt s = element(point);
        for (auto it = loops.rbegin(); it != loops.rend(); ++it) {
            s = make_loop(it->first, it->second, s);
        }
        return s;
    }

    /** A loop over each dimension but the last, whose counters are in \p point. */
    Stmt over_rows(Point &point, bool whole, const std::function<Stmt(const Point &)> &body) const {
        std::vector<std::string> counters;
        for (size_t k = 0; k + 1 < dst.dims.size(); k++) {
            counters.push_back(unique_name(dst.dims[k].axis + ".at"));
            point[dst.dims[k].axis].at = var(counters[k]);
        }
        Stmt s = body(point);
        for (size_t k = counters.size(); k-- > 0;) {
            s = make_loop(counters[k], whole ? filled(dst.dims[k]) : context.valid(dst.dims[k]), s);
        }
        return s;
    }

    /** Vectors [from, all) along the inner dimension, element by element. */
    Stmt vectors_of_elements(const Expr &from, bool whole) const {
        const std::string more = unique_name("more"), vector = unique_name("vector"), lane = unique_name("lane");
        Point point;
        point[dst.inner()] = Coord{Expr(), var(vector), var(lane)};
        return over_rows(point, whole, [&](const Point &p) {
            Stmt s = make_loop(lane, context.lanes, element(p), ForType::Vectorized);
            s = LetStmt::make(vector, from + var(more), s);
            return make_loop(more, simplify(filled(dst.dims.back()) / context.lanes - from), s);
        });
    }

    /** The input is contiguous along the inner dimension: whole vectors, then the rest. */
    Stmt dense() const {
        const std::string vector = unique_name("vector");
        Point point;
        const Expr whole = simplify(context.valid(dst.dims.back()) / context.lanes);
        Stmt s = over_rows(point, false, [&](const Point &p) {
            Point at = p;
            at[dst.inner()] = Coord{Expr(), var(vector), 0};
            return make_loop(vector, whole, move_vector(at));
        });
        return Block::make({s, vectors_of_elements(whole, false), beyond_domain()});
    }

    /** Rows that the domain of a column axis does not reach. */
    Stmt beyond_domain() const {
        std::vector<Stmt> stmts;
        for (size_t k = 0; k + 1 < dst.dims.size(); k++) {
            const Expr from = context.valid(dst.dims[k]), to = filled(dst.dims[k]);
            if (can_prove(from >= to)) {
                continue;
            }
            std::map<std::string, std::pair<Expr, Expr>> ranges;
            for (size_t i = 0; i < dst.dims.size(); i++) {
                ranges[dst.dims[i].axis] = {i == k ? from : Expr(0), filled(dst.dims[i])};
            }
            stmts.push_back(elements(ranges));
        }
        return stmts.empty() ? Evaluate::make(0) : Block::make(stmts);
    }

    Expr input_vector(const Point &first, int count) const {
        std::vector<Expr> args;
        for (const Expr &a : call->args) {
            args.push_back(context.coordinates(a, first, {}));
        }
        const Expr scalar = context.load_input(call, args);
        const Load *load = scalar.as<Load>();
        return Load::make(load->type.with_lanes(count), load->name, Ramp::make(load->index, make_one(load->index.type()), count),
                          load->image, load->param, const_true(count), ModulusRemainder());
    }

    Stmt move_vector(const Point &point) const {
        const int lanes = context.lanes;
        Expr v = cast(dst.type.with_lanes(lanes), cast(dst.rounded_to.with_lanes(lanes), input_vector(point, lanes)));
        return Store::make(dst.name, v, dst.ramp(point, lanes), Parameter(), const_true(lanes), ModulusRemainder());
    }

    /** The input is contiguous along the outer dimension: square blocks through registers. */
    Stmt transposed() const {
        const TileDim &inner = dst.dims.back(), &outer = dst.dims.front();
        const int side = std::min(context.lanes, 8);
        const std::string across = unique_name(inner.axis + ".block"), along = unique_name(outer.axis + ".block");
        Point first{{inner.axis, {var(across) * side, Expr(), Expr()}}, {outer.axis, {var(along) * side, Expr(), Expr()}}};
        std::vector<Expr> rows;
        for (int x = 0; x < side; x++) {
            Point p = first;
            p[inner.axis].at = p[inner.axis].at + x;
            rows.push_back(cast(dst.type.with_lanes(side), cast(dst.rounded_to.with_lanes(side), input_vector(p, side))));
        }
        Stmt block = transpose_block(rows, [&](int t, const Expr &column) {
            Point p = first;
            p[outer.axis].at = p[outer.axis].at + t;
            return Store::make(dst.name, column, dst.ramp(p, side), Parameter(), const_true(side), ModulusRemainder());
        });
        const Expr blocks_across = context.valid(inner) / side, blocks_along = context.valid(outer) / side;
        Stmt s = make_loop(across, blocks_across, make_loop(along, blocks_along, block));
        // What the blocks leave: the rest of the outer dimension beside them, then
        // the rest of the inner one.
        const std::pair<Expr, Expr> covered{0, simplify(blocks_across * side)};
        Stmt beside = elements({{inner.axis, covered}, {outer.axis, {simplify(blocks_along * side), filled(outer)}}});
        Stmt below = elements({{inner.axis, {covered.second, filled(inner)}}, {outer.axis, {0, filled(outer)}}});
        return Block::make({s, beside, below});
    }
};

/** Moves an Expr over tile values into an output. */
class Storer {
    const Context &context;
    const TileOp &op;
    std::vector<std::pair<int, TileDim>> dims;  // tile axes of the output, with their dimension

    Expr index(const Point &point) const {
        std::vector<Expr> args;
        for (const std::string &a : op.out_axes) {
            auto it = point.find(a);
            args.push_back(it == point.end() ? var(a) : context.corner(a) + it->second.value(context.lanes));
        }
        return context.flat_index(op.dst, args, Parameter(), Buffer<>());
    }

public:
    Storer(const Context &c, const TileOp &o)
        : context(c), op(o) {
        for (size_t k = 0; k < op.out_axes.size(); k++) {
            const std::string &a = op.out_axes[k];
            const TileProgram &p = context.program;
            const bool gridded = std::any_of(p.grid.begin(), p.grid.end(), [&](const Axis &g) { return g.name == a; });
            if (!gridded) {
                dims.emplace_back((int)k, TileDim{a, a == p.query.name ? p.query_tile : 1 << 30});
            }
        }
    }

    Stmt element(const Point &point) const {
        const Expr value = cast(op.expr.type(), context.evaluate(op.expr, point, {}));  // tiles of narrow floats are wider
        return Store::make(op.dst, value, index(point), Parameter(), const_true(), ModulusRemainder());
    }

    /** The tile that is stored as it is, if vectors in it run along the other of the output's two dimensions. */
    const TileStorage *transposed_tile() const {
        const Variable *v = op.expr.as<Variable>();
        if (dims.size() != 2 || !v || !context.program.has_value(v->name)) {
            return nullptr;
        }
        const TileStorage &tile = context.at(v->name);
        const bool across = tile.dims.size() == 2 && tile.inner() == dims[1].second.axis &&
                            tile.dims[0].axis == dims[0].second.axis && !tile.rounded_to.is_bool();
        return across ? &tile : nullptr;
    }

    /** The output is contiguous along its first dimension, the tile along the second: square blocks through
     * registers, then single elements. */
    Stmt transposed(const TileStorage &tile) const {
        const TileDim &along = dims[0].second, &across = dims[1].second;
        const int side = std::min(context.lanes, 8);
        const std::string block = unique_name(along.axis + ".block"), rows = unique_name(across.axis + ".block");
        const std::string at = unique_name(along.axis + ".at"), row = unique_name(across.axis + ".at");
        const Expr blocks = simplify(context.valid({along.axis, tile.dims[0].size}) / side), count = context.valid(across);
        std::vector<Expr> vectors;
        for (int x = 0; x < side; x++) {
            const Point p{{along.axis, {var(block) * side + x, Expr(), Expr()}}, {across.axis, {var(rows) * side, Expr(), Expr()}}};
            vectors.push_back(Load::make(tile.type.with_lanes(side), tile.name, tile.ramp(p, side), Buffer<>(), Parameter(),
                                         const_true(side), ModulusRemainder()));
        }
        Stmt whole = transpose_block(vectors, [&](int t, const Expr &column) {
            const Point p{{along.axis, {var(block) * side, Expr(), Expr()}}, {across.axis, {var(rows) * side + t, Expr(), Expr()}}};
            Stmt s = Store::make(op.dst, cast(op.expr.type().with_lanes(side), column), Ramp::make(index(p), make_one(index(p).type()), side),
                                 Parameter(), const_true(side), ModulusRemainder());
            return t == 0 ? s : IfThenElse::make(var(rows) * side + t < count, s);
        });
        whole = make_loop(rows, simplify((count + (side - 1)) / side), make_loop(block, blocks, whole));
        const Expr done = simplify(blocks * side), rest = simplify(context.valid({along.axis, tile.dims[0].size}) - done);
        const Point p{{along.axis, {done + var(at), Expr(), Expr()}}, {across.axis, {var(row), Expr(), Expr()}}};
        return Block::make(whole, make_loop(row, count, make_loop(at, rest, element(p))));
    }

    Stmt lower() const {
        if (const TileStorage *tile = transposed_tile()) {
            const Expr stride = var(op.dst + ".stride." + std::to_string(dims.front().first));
            return IfThenElse::make(stride == 1, substitute(stride, 1, transposed(*tile)), vectors_along(1));
        }
        return vectors_along(0);
    }

    /** Vectors along one of the tile's dimensions, the others around it. */
    Stmt vectors_along(size_t which) const {
        if (dims.empty()) {
            return element(Point());
        }
        const TileDim &inner = dims[which].second;
        const int lanes = context.lanes;
        Point outer;
        std::vector<std::string> counters;
        for (const auto &dim : dims) {
            counters.push_back(unique_name(dim.second.axis + ".at"));
            outer[dim.second.axis].at = var(counters.back());
        }
        const std::string vector = unique_name("vector"), lane = unique_name("lane"), at = unique_name(inner.axis + ".at");
        Point wide = outer, narrow = outer;
        wide[inner.axis] = Coord{Expr(), var(vector), var(lane)};
        narrow[inner.axis].at = var(at);
        const Expr count = context.valid(inner), whole = simplify(count / lanes);
        const Expr stride = var(op.dst + ".stride." + std::to_string(dims[which].first));
        Stmt vectors = make_loop(vector, whole, make_loop(lane, lanes, element(wide), ForType::Vectorized));
        Stmt dense = IfThenElse::make(stride == 1, substitute(stride, 1, vectors), vectors);
        const std::string more = unique_name("more");
        Stmt tail = make_loop(more, simplify(count % lanes), LetStmt::make(at, whole * lanes + var(more), element(narrow)));
        Stmt s = Block::make(dense, tail);
        for (size_t k = dims.size(); k-- > 0;) {
            s = k == which ? s : make_loop(counters[k], context.valid(dims[k].second), s);
        }
        return s;
    }
};

}  // namespace

Stmt lower_load(const Context &context, const TileOp &op) {
    const Loader loader(context, op);
    const TileStorage &dst = context.at(op.dst);
    if (dst.dims.empty()) {
        return loader.element(Point());
    }
    const Call *call = image_call(op.expr);
    Stmt s = loader.vectors_of_elements(0, true);
    const int inner = dimension_along(call, dst.inner());
    const int outer = dst.dims.size() == 2 ? dimension_along(call, dst.dims.front().axis) : -1;
    if (outer >= 0 && context.lanes % std::min(context.lanes, 8) == 0) {
        s = IfThenElse::make(context.stride_of(call, outer) == 1, loader.transposed(), s);
    }
    if (inner >= 0) {
        s = IfThenElse::make(context.stride_of(call, inner) == 1, loader.dense(), s);
    }
    return s;
}

Stmt lower_store(const Context &context, const TileOp &op) {
    return Storer(context, op).lower();
}

}  // namespace strobe::cpu
