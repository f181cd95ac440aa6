#include "OperandTiles.h"

#include "derivation/Expressions.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** As many elements of an inner reduction are written out as terms of one Expr. */
const int few = 16;

class LoadTiles : public IRMutator {
    using IRMutator::visit;
    TileBuilder &b;

    Expr visit(const Call *op) override {
        if (op->call_type != Call::Image) {
            return IRMutator::visit(op);
        }
        const std::set<std::string> axes = b.tile_axes_in(op);
        const bool both = axes.count(b.program.query.name) && axes.count(b.program.stream.name);
        return axes.empty() || both ? Expr(op) : b.ref(b.load(op));
    }

public:
    explicit LoadTiles(TileBuilder &b) : b(b) {
    }
};

/** The parts of a sum. */
void summands(const Expr &e, bool negative, std::vector<std::pair<Expr, bool>> &result) {
    if (const Add *op = e.as<Add>()) {
        summands(op->a, negative, result);
        summands(op->b, negative, result);
    } else if (const Sub *op = e.as<Sub>()) {
        summands(op->a, negative, result);
        summands(op->b, !negative, result);
    } else {
        result.emplace_back(e, negative);
    }
}

/** One product of a contraction over an axis. */
struct TwoSides {
    std::vector<Expr> rows, columns, rest;
};

class InnerBuilder {
    TileBuilder &b;
    const Reduction &r;
    const std::string query, stream;
    const std::string dst = "%" + r.name;

    std::optional<TwoSides> two_sides(const Expr &e, const std::string &axis) const;
    std::set<std::string> axes_of_inner(const Expr &e) const;
    bool contract();
    void contract_sides(const TwoSides &sides, const std::string &axis, bool negative, size_t n);
    void finish(Expr value);
    bool has_three_axes(const std::string &axis) const;
    Expr at_element(const Expr &e, const std::string &axis, int n);
    Expr elements_apart(const std::string &axis);
    int size_of(const std::vector<std::string> &axes) {
        int size = 1;
        for (const std::string &a : axes) {
            size *= b.size_of(a);
        }
        return size;
    }

public:
    InnerBuilder(TileBuilder &b, const Reduction &r)
        : b(b), r(r), query(b.program.query.name), stream(b.program.stream.name) {
    }
    void build();
};

/** The factors by side, if each is on one side only and each side is a matrix. */
std::optional<TwoSides> InnerBuilder::two_sides(const Expr &e, const std::string &axis) const {
    const auto axes_in = [&](const Expr &x) { return b.tile_axes_in(x); };
    const SplitProduct product = split_product(e, axis, axes_in);
    TwoSides sides;
    for (const Expr &f : product.with) {
        const std::set<std::string> axes = axes_in(f);
        const bool rows = axes.count(query), columns = axes.count(stream);
        if ((rows && columns) || axes.size() > size_t(1 + (rows || columns))) {
            return std::nullopt;
        }
        // What only the summed axis indexes (a weight a feature) goes with the rows, which are fewer.
        (columns ? sides.columns : sides.rows).push_back(f);
    }
    const auto has = [&](const std::vector<Expr> &side, const std::string &of) {
        return std::any_of(side.begin(), side.end(), [&](const Expr &f) { return axes_in(f).count(of); });
    };
    if (!has(sides.rows, query) || !has(sides.columns, stream)) {
        return std::nullopt;
    }
    sides.rest = product.without;
    return sides;
}

void InnerBuilder::contract_sides(const TwoSides &sides, const std::string &axis, bool negative, size_t n) {
    std::vector<Expr> rows = sides.rows;
    if (negative) {
        rows.insert(rows.begin(), make_const(r.type, -1));
    }
    const auto stored = [&](const std::vector<Expr> &side) {
        const Call *call = side.size() == 1 ? plain_load(side[0]) : nullptr;
        return call ? call->type : r.type;
    };
    const Type own = operand_type_of(stored(rows), stored(sides.columns), r.type);
    const Type type = b.operand_type({r.name}, own);
    const std::string a = operand_tile(b, rows, {query, axis}, type, r.name + ".rows");
    const std::string c = operand_tile(b, sides.columns, {stream, axis}, type, r.name + ".columns");
    TileOp op = contract_op(dst, axis, a, c, type, n > 0);
    op.held = b.choices.held.count(r.name) > 0;
    op.note = op.held ? a + " in registers" : "";
    b.emit(op);
}

/** The axes of inner reductions' values that e refers to. */
std::set<std::string> InnerBuilder::axes_of_inner(const Expr &e) const {
    std::set<std::string> axes;
    for (const std::string &name : b.plan.inner) {
        if (expr_uses_var(e, "%" + name)) {
            const Reduction &inner = b.graph.reduction(name);
            axes.insert(inner.axes.begin(), inner.axes.end());
        }
    }
    return axes;
}

/** As contractions, one a summand. */
bool InnerBuilder::contract() {
    if (r.op != ReduceOp::Sum || r.over.size() != 1 || !r.type.is_float()) {
        return false;
    }
    std::vector<std::pair<Expr, bool>> parts;
    summands(r.body, false, parts);
    std::vector<TwoSides> products;
    for (const auto &[part, negative] : parts) {
        const std::optional<TwoSides> sides = two_sides(part, r.over[0]);
        if (!sides || (parts.size() > 1 && !sides->rest.empty())) {
            return false;
        }
        products.push_back(*sides);
    }
    b.declare(dst, r.type, {query, stream});
    for (size_t n = 0; n < products.size(); n++) {
        contract_sides(products[n], r.over[0], parts[n].second, n);
    }
    Expr value = b.ref(dst);
    if (const Expr scale = product_of(products[0].rest); products.size() == 1 && scale.defined()) {
        value = value * cast(r.type, scale);
    }
    finish(value);
    return true;
}

/** Stores what the reduction gave, with its initial value. */
void InnerBuilder::finish(Expr value) {
    if (r.init.defined()) {
        value = combine(r.op, value, r.init);
    }
    if (const Variable *v = value.as<Variable>(); !v || v->name != dst) {
        b.compute_inner(value);
        b.emit(map_op(dst, cast(r.type, value)));
    }
}

/** Values that are reduced along the axis have rows, the stream and this axis, and a tile has two. */
bool InnerBuilder::has_three_axes(const std::string &axis) const {
    return std::any_of(b.plan.inner.begin(), b.plan.inner.end(), [&](const std::string &name) {
        const std::vector<std::string> &axes = b.graph.reduction(name).axes;
        const auto has = [&](const std::string &a) { return std::find(axes.begin(), axes.end(), a) != axes.end(); };
        return expr_uses_var(r.body, "%" + name) && has(axis) && has(query) && has(stream);
    });
}

/** \p e at the n'th element of the axis, where other reductions have values of their own for it. */
Expr InnerBuilder::at_element(const Expr &e, const std::string &axis, int n) {
    const Expr at = simplify(b.graph.axis(axis).min + n);
    Expr result = substitute(axis, at, e);
    for (const std::string &name : b.plan.inner) {
        Reduction one = b.graph.reduction(name);
        const auto found = std::find(one.axes.begin(), one.axes.end(), axis);
        if (found == one.axes.end() || !expr_uses_var(result, "%" + name)) {
            continue;
        }
        one.axes.erase(found);
        one.name += "." + std::to_string(n);
        one.body = at_element(one.body, axis, n);
        one.init = one.init.defined() ? at_element(one.init, axis, n) : one.init;
        InnerBuilder(b, one).build();
        result = substitute("%" + name, b.ref("%" + one.name), result);
    }
    return result;
}

/** The body over all elements of a short axis, written out. */
Expr InnerBuilder::elements_apart(const std::string &axis) {
    if (b.size_of(axis) > few) {
        strobe_user_error() << "In algorithm for " << r.name << ": can't compute " << name_of(r.op) << " over " << axis
                            << " of " << text_of(r.body) << " inside a tile, because what it reduces has an element for each "
                            << query << ", " << stream << " and " << axis << ", which has " << b.size_of(axis)
                            << ". Supported: at most " << few << " elements of such an axis.";
    }
    Expr result;
    for (int n = 0; n < b.size_of(axis); n++) {
        const Expr one = at_element(r.body, axis, n);
        result = result.defined() ? combine(r.op, result, one) : one;
    }
    return result;
}

void InnerBuilder::build() {
    if (contract()) {
        return;
    }
    const auto apart = std::find_if(r.over.begin(), r.over.end(), [&](const std::string &a) { return has_three_axes(a); });
    if (apart != r.over.end()) {
        Reduction rest = r;
        rest.body = elements_apart(*apart);
        rest.over.erase(rest.over.begin() + (apart - r.over.begin()));
        InnerBuilder(b, rest).build();
        return;
    }
    std::vector<std::string> over = r.over;
    // An axis of another reduction's values cannot be written out: they are one tile.
    const std::set<std::string> tied = axes_of_inner(r.body);
    std::stable_sort(over.begin(), over.end(), [&](const std::string &x, const std::string &y) {
        return std::pair(tied.count(x), b.size_of(x)) < std::pair(tied.count(y), b.size_of(y));
    });
    std::string longest;
    if (!over.empty() && (size_of(over) > few || tied.count(over.back()))) {
        longest = over.back();
        over.pop_back();
    }
    if (size_of(over) > few || (!over.empty() && tied.count(over.back()))) {
        strobe_user_error() << "In algorithm for " << r.name << ": can't compute " << name_of(r.op) << " of " << r.body
                            << " inside a tile, because it reduces several long axes at once. Supported: one axis of "
                            << "any length, and others of " << few << " elements together; reduce one of them in a "
                            << "Func of its own.";
    }
    const Expr body = over_loaded_tiles(b, written_out(b, r.body, over, r.op));
    std::set<std::string> axes = b.tile_axes_in(body);
    axes.erase(longest);
    // What is broadcast along an axis of the Func need not be computed for each of its elements.
    b.declare(dst, r.type, axes);
    if (longest.empty()) {
        finish(body);
        return;
    }
    b.emit(reduce_op(dst, r.op, longest, cast(r.type, body)));
    finish(b.ref(dst));
}

}  // namespace

Expr over_loaded_tiles(TileBuilder &b, const Expr &e) {
    b.compute_inner(e);
    return LoadTiles(b).mutate(e);
}

std::string operand_tile(TileBuilder &b, const std::vector<Expr> &factors, const std::set<std::string> &axes, Type type,
                         const std::string &name) {
    const Call *call = factors.size() == 1 ? plain_load(factors[0]) : nullptr;
    if (call && b.tile_axes_in(factors[0]) == axes) {
        return b.load(call);
    }
    Expr value = over_loaded_tiles(b, product_of(factors));
    if (type.bits() < value.type().bits()) {
        value = cast(type, value);
    }
    return b.computed_tile("%" + name, value, axes);
}

void build_inner_reduction(TileBuilder &b, const Reduction &r) {
    InnerBuilder(b, r).build();
}

Expr written_out(TileBuilder &b, const Expr &e, const std::vector<std::string> &axes, ReduceOp op) {
    Expr result = e;
    for (const std::string &axis : axes) {
        const Axis &a = b.graph.axis(axis);
        const Expr term = result;
        result = Expr();
        for (int k = 0; k < b.size_of(axis); k++) {
            const Expr one = simplify(substitute(axis, simplify(a.min + k), term));
            result = result.defined() ? combine(op, result, one) : one;
        }
    }
    return result;
}

}  // namespace strobe
