#include "Elementwise.h"

#include "device/Intrinsics.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe::simt {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Calls make for each slot of the value's elements that one thread has. */
Stmt for_each_slot(const Context &context, const std::vector<TileDim> &dims,
                   const std::function<Stmt(const Point &)> &make) {
    const ThreadMap &map = context.values.map;
    std::vector<Stmt> stmts;
    const bool columns = dims.size() > 1;
    for (int r = 0; r < map.row_slots; r++) {
        Point point{{dims[0].axis, {map.row(r), r}}};
        for (int c = 0; c < (columns ? map.axes.at(dims[1].axis).slots : 1); c++) {
            if (columns) {
                point[dims[1].axis] = {map.column(dims[1].axis, c), c};
            }
            stmts.push_back(make(point));
        }
    }
    return Block::make(stmts);
}

int size_of(const Context &context, const std::string &axis) {
    return axis == context.program.query.name ? context.program.query_tile : context.values.map.axes.at(axis).size;
}

/** The elements of \p type that shuffles move; others go through memory. */
bool shuffles(const Context &context, Type type) {
    return !context.on_cpu && type.bits() <= 32;
}

Expr shuffled(const Expr &e, int mask) {
    if (e.type().bits() == 32) {
        return device::shuffle_xor(e, mask);
    }
    return cast(e.type(), device::shuffle_xor(cast(Int(32), e), mask));
}

/** How elements are combined in the type that they are stored as. */
Expr combined(const Stored &s, ReduceOp op, const Expr &a, const Expr &b) {
    if (!s.rounded_to.is_bool()) {
        return strictify_float(combine(op, a, b));
    }
    const Expr zero = make_zero(s.type);
    return cast(s.type, combine(op, a != zero, b != zero));
}

/** Combines what the threads of each row have in the value's registers, through
 * memory: \p sharers are the threads that have the current thread's rows. */
Stmt reduce_through_memory(const Context &context, const Stored &dst, ReduceOp op, const std::vector<Expr> &sharers) {
    const int slots = (int)dst.elements, threads = context.threads();
    // [slot][thread]
    Stored parts;
    parts.name = std::string("parts.") +
                 (dst.type.is_float() ? "f"
                  : dst.type.is_int() ? "s"
                                      : "u") +
                 std::to_string(dst.type.bits());
    parts.type = parts.rounded_to = dst.type;
    parts.elements = int64_t(context.values.map.row_slots) * threads;
    context.scratch[parts.name] = parts;
    std::vector<Stmt> give, take;
    for (int r = 0; r < slots; r++) {
        give.push_back(store_at(parts.name, load_at(dst.name, dst.type, r), r * threads + thread()));
        for (size_t n = 0; n < sharers.size(); n++) {
            const Expr other = load_at(parts.name, parts.type, r * threads + sharers[n]);
            const Expr old = load_at(dst.name, dst.type, r);
            take.push_back(store_at(dst.name, n == 0 ? other : combined(dst, op, old, other), r));
        }
    }
    return Block::make(context.each_of_points(Block::make(give)), context.each_of_points(Block::make(take)));
}

/** Combines what the lanes of each row have in the value's registers. */
Stmt reduce_over_lanes(const Context &context, const Stored &dst, ReduceOp op) {
    const ThreadMap &map = context.values.map;
    const Expr first = thread() - map.lane() - map.part() * 32;
    std::vector<Expr> sharers;
    if (!shuffles(context, dst.type)) {
        for (int n = 0; n < map.parts * map.lanes; n++) {
            sharers.push_back(first + (n / map.lanes * 32 + n % map.lanes));
        }
        return reduce_through_memory(context, dst, op, sharers);
    }
    const auto part = [&](int r) { return load_at(dst.name, dst.type, r); };
    std::vector<Stmt> stmts;
    for (int mask = map.lanes / 2; mask > 0; mask /= 2) {
        for (int r = 0; r < (int)dst.elements; r++) {
            stmts.push_back(store_at(dst.name, combined(dst, op, part(r), shuffled(part(r), mask)), r));
        }
    }
    const Stmt within = context.each_of_points(Block::make(stmts));
    if (map.parts == 1) {
        return within;
    }
    for (int n = 0; n < map.parts; n++) {
        sharers.push_back(first + map.lane() + n * 32);
    }
    return Block::make(within, reduce_through_memory(context, dst, op, sharers));
}

Expr identity_as_stored(const Stored &s, ReduceOp op) {
    return s.rounded_to.is_bool() ? cast(s.type, identity_of(op, Bool())) : identity_of(op, s.type);
}

Expr as_stored(const Stored &s, const Expr &e) {
    return e.type() == s.type ? e : cast(s.type, e);
}

/** Rows in registers, reduced along an axis whose elements the lanes have. */
Stmt reduce_rows(const Context &context, const TileOp &op, const Stored &dst) {
    const ThreadMap &map = context.values.map;
    const AxisSlots &axis = map.axes.at(op.axis);
    const Expr identity = identity_as_stored(dst, op.op);
    std::vector<Stmt> stmts;
    for (int r = 0; r < map.row_slots; r++) {
        for (int c = 0; c < axis.slots; c++) {
            const Expr column = map.column(op.axis, c);
            const Point point{{context.program.query.name, {map.row(r), r}}, {op.axis, {column, c}}};
            Expr value = as_stored(dst, context.evaluate(op.expr, point));
            if (axis.padded != axis.size) {
                value = select(column < axis.size, value, identity);
            }
            const Expr old = load_at(dst.name, dst.type, r);
            stmts.push_back(store_at(dst.name, c == 0 ? value : combined(dst, op.op, old, value), r));
        }
    }
    Stmt s = Block::make(context.each_of_points(Block::make(stmts)), reduce_over_lanes(context, dst, op.op));
    if (dst.rounded_to == dst.type || dst.rounded_to.is_bool()) {
        return s;
    }
    stmts.clear();
    for (int r = 0; r < map.row_slots; r++) {
        stmts.push_back(store_at(dst.name, cast(dst.type, cast(dst.rounded_to, load_at(dst.name, dst.type, r))), r));
    }
    return Block::make(s, context.each_of_points(Block::make(stmts)));
}

/** old + term; a product is added in one step where the machine has one. */
Expr added(const Context &context, const Expr &term, const Stored &dst, const Expr &old, const Point &point) {
    const Mul *product = term.as<Mul>();
    if (context.on_cpu || !product || dst.type != Float(32) || product->type != Float(32)) {
        return combined(dst, ReduceOp::Sum, old, as_stored(dst, context.evaluate(term, point)));
    }
    return device::fma(context.evaluate(product->a, point), context.evaluate(product->b, point), old);
}

/** old (op) value. */
Expr taken_in(const Context &context, const TileOp &op, const Stored &dst, const Expr &old, const Point &point) {
    const Select *chosen = op.expr.as<Select>();
    const bool guarded = chosen && is_const_zero(chosen->false_value);
    const Expr term = guarded ? chosen->true_value : op.expr;
    if (context.on_cpu || op.op != ReduceOp::Sum || !term.as<Mul>()) {
        return combined(dst, op.op, old, as_stored(dst, context.evaluate(op.expr, point)));
    }
    const Expr sum = added(context, term, dst, old, point);
    return guarded ? select(context.evaluate(chosen->condition, point), sum, old) : sum;
}

/** Rows and columns in registers, all of a thread's at each step along the reduced axis. */
Stmt reduce_slots(const Context &context, const TileOp &op, const Stored &dst) {
    std::vector<Stmt> stmts;
    stmts.push_back(for_each_slot(context, dst.dims, [&](const Point &point) {
        return store_at(dst.name, identity_as_stored(dst, op.op), element_index(context, dst, point));
    }));
    stmts.push_back(serial_loop(op.axis + ".at", size_of(context, op.axis), [&](const Expr &k) {
        return for_each_slot(context, dst.dims, [&](const Point &slot) {
            Point point = slot;
            point[op.axis] = {k, -1};
            const Expr index = element_index(context, dst, slot), old = load_at(dst.name, dst.type, index);
            return store_at(dst.name, taken_in(context, op, dst, old, point), index);
        });
    }));
    if (dst.rounded_to != dst.type && !dst.rounded_to.is_bool()) {
        stmts.push_back(for_each_slot(context, dst.dims, [&](const Point &point) {
            return store_element(context, dst, point, load_at(dst.name, dst.type, element_index(context, dst, point)));
        }));
    }
    return context.each_of_points(Block::make(stmts));
}

/** One element of dst, by one thread alone. */
Stmt reduce_alone(const Context &context, const TileOp &op, const Stored &dst, const Point &at,
                  const std::string &sum) {
    const Stmt start = store_at(sum, identity_as_stored(dst, op.op), 0);
    const Stmt walk = serial_loop(op.axis + ".at", size_of(context, op.axis), [&](const Expr &k) {
        Point point = at;
        point[op.axis] = {k, -1};
        const Expr value = as_stored(dst, context.evaluate(op.expr, point));
        return store_at(sum, combined(dst, op.op, load_at(sum, dst.type, 0), value), 0);
    });
    const Expr total = load_at(sum, dst.type, 0);
    const Expr result = dst.rounded_to.is_bool() ? total != make_zero(dst.type) : total;
    return Block::make({start, walk, store_element(context, dst, at, result)});
}

}  // namespace

namespace {

/** The terms of a sum. Where their order matters, sums are strict and no Add. */
std::vector<Expr> terms_of(const Expr &e) {
    const Add *add = e.type() == Float(32) ? e.as<Add>() : nullptr;
    if (!add) {
        return {e};
    }
    std::vector<Expr> terms = terms_of(add->a);
    const std::vector<Expr> more = terms_of(add->b);
    terms.insert(terms.end(), more.begin(), more.end());
    return terms;
}

/** A sum of many terms, term by term for all of a thread's elements: what the terms read of rows and columns
 * would else fill its registers. */
Stmt map_by_terms(const Context &context, const Stored &dst, const std::vector<Expr> &terms) {
    const size_t together = 4;
    std::vector<Stmt> stmts;
    for (size_t n = 0; n < terms.size(); n++) {
        const Expr &term = terms[n];
        if (n > 0 && n % together == 0 && !context.on_cpu && context.values.map.points > 1) {
            stmts.push_back(device::run("sync_warp"));  // the assembler would load for all terms first
        }
        stmts.push_back(for_each_slot(context, dst.dims, [&](const Point &point) {
            if (stmts.empty()) {
                return store_element(context, dst, point, context.evaluate(term, point));
            }
            return store_element(context, dst, point,
                                 added(context, term, dst, load_element(context, dst, point), point));
        }));
    }
    return context.each_of_points(Block::make(stmts));
}

}  // namespace

Stmt lower_map(const Context &context, const TileOp &op) {
    const Stored &dst = context.at(op.dst);
    const int many_terms = 4;
    const std::vector<Expr> terms = terms_of(op.expr);
    if (dst.registers && dst.dims.size() == 2 && (int)terms.size() >= many_terms && dst.type == dst.rounded_to &&
        !expr_uses_var(op.expr, op.dst)) {
        return map_by_terms(context, dst, terms);
    }
    if (dst.registers) {
        return context.each_of_points(for_each_slot(context, dst.dims, [&](const Point &point) {
            return store_element(context, dst, point, context.evaluate(op.expr, point));
        }));
    }
    return context.each_sharer(
        dst, for_each_element(context, dst, [&](const Point &point, const Expr &inside) {
            const Expr value = context.evaluate(op.expr, point);
            const bool padded = !is_const_one(inside);
            return store_element(context, dst, point, padded ? select(inside, value, make_zero(value.type())) : value);
        }));
}

Stmt lower_reduce(const Context &context, const TileOp &op) {
    const Stored &dst = context.at(op.dst);
    if (dst.registers && dst.dims.size() == 1) {
        return reduce_rows(context, op, dst);
    }
    if (dst.registers) {
        return reduce_slots(context, op, dst);
    }
    const std::string sum = unique_name("sum");
    const auto alone = [&](const Point &point) { return reduce_alone(context, op, dst, point, sum); };
    const Stmt body = for_each_element(context, dst, [&](const Point &point, const Expr &inside) {
        return is_const_one(inside) ? alone(point) : IfThenElse::make(inside, alone(point));
    });
    return Allocate::make(sum, dst.type, MemoryType::Register, {1}, const_true(), context.each_sharer(dst, body));
}

Stmt lower_scan(const Context &context, const TileOp &op) {
    const Stored &dst = context.at(op.dst);
    // Every thread puts down the elements that it has; then one thread goes along each line of them.
    const Stmt put =
        dst.dims[0].axis == context.program.query.name && dst.dims.size() == 2
            ? for_each_slot(context, dst.dims,
                            [&](const Point &point) {
                                return store_element(context, dst, point, context.evaluate(op.expr, point));
                            })
            : for_each_element(context, dst, [&](const Point &point, const Expr &) {
                  return store_element(context, dst, point, context.evaluate(op.expr, point));
              });
    std::vector<TileDim> across;
    for (const TileDim &d : dst.dims) {
        if (d.axis != op.axis) {
            across.push_back(d);
        }
    }
    const std::string sum = unique_name("sum");
    const auto line = [&](const Point &start) {
        const Stmt walk = serial_loop(op.axis + ".at", size_of(context, op.axis), [&](const Expr &k) {
            Point at = start;
            at[op.axis] = {k, -1};
            const Expr element = load_at(dst.name, dst.type, element_index(context, dst, at));
            return Block::make(store_at(sum, combined(dst, op.op, load_at(sum, dst.type, 0), element), 0),
                               store_at(dst.name, load_at(sum, dst.type, 0), element_index(context, dst, at)));
        });
        return Block::make(store_at(sum, identity_as_stored(dst, op.op), 0), walk);
    };
    const Stored lines = shared_array("", dst.type, across, context.program, context.values.map, dst.points > 1);
    const Stmt go = across.empty() ? IfThenElse::make(context.sharer(dst) == 0, line({}))
                                   : for_each_element(context, lines, [&](const Point &point, const Expr &inside) {
                                         return is_const_one(inside) ? line(point) : IfThenElse::make(inside, line(point));
                                     });
    return Allocate::make(sum, dst.type, MemoryType::Register, {1}, const_true(),
                          Block::make(context.each_sharer(dst, put), context.each_sharer(dst, go)));
}

Stmt store_output(const Context &context, const TileOp &op, const Point &point) {
    std::vector<Expr> args;
    Expr inside = const_true();
    for (const std::string &a : op.out_axes) {
        const auto it = point.find(a);
        if (is_grid_axis(context.program, a)) {
            args.push_back(context.evaluate(Variable::make(Int(32), a), point));
            inside = it == point.end() ? inside : inside && context.has_point(it->second.at);
        } else {
            args.push_back(context.corner(a) + it->second.at);
            inside = inside && it->second.at < context.valid(a);
        }
    }
    return IfThenElse::make(
        inside, store_at(op.dst, context.evaluate(op.expr, point), context.flat_index(op.dst, args, Parameter())));
}

Stmt lower_store(const Context &context, const TileOp &op) {
    const auto element = [&](const Point &point) { return store_output(context, op, point); };
    const std::vector<std::string> own = own_axes_of_store(context.program, op);
    if (!own.empty()) {
        std::vector<TileDim> dims;
        for (const std::string &a : own) {
            dims.push_back({a, size_of(context, a)});
        }
        int others = 1;
        for (const std::string &a : op.out_axes) {
            const bool other = !is_grid_axis(context.program, a) && std::find(own.begin(), own.end(), a) == own.end();
            others *= other ? size_of(context, a) : 1;
        }
        Stmt s = for_each_slot(context, dims, [&](const Point &slot) {
            std::vector<Stmt> stores;
            for (int n = 0; n < others; n++) {
                Point point = slot;
                int rest = n;
                for (const std::string &a : op.out_axes) {
                    if (!is_grid_axis(context.program, a) && !slot.count(a)) {
                        point[a] = {rest % size_of(context, a), -1};
                        rest /= size_of(context, a);
                    }
                }
                stores.push_back(element(point));
            }
            return Block::make(stores);
        });
        if (dims.size() == 1) {
            s = IfThenElse::make(context.values.map.is_first(), s);
        }
        return context.each_of_points(s);
    }
    std::vector<TileDim> dims;
    for (const std::string &a : op.out_axes) {
        if (!is_grid_axis(context.program, a)) {
            dims.insert(dims.begin(), {a, size_of(context, a)});
        }
    }
    const Stored like = shared_array("", Float(32), dims, context.program, context.values.map, true);
    return context.each_of_points(
        for_each_element(context, like, [&](const Point &point, const Expr &) { return element(point); }));
}

Stmt reduce_over_threads(const Context &context, ReduceOp op, const std::string &source, Type type, int count,
                         const std::string &result, const Expr &index) {
    const Expr old = load_at(result, type, index);
    const Stmt walk = serial_loop("thread.at", count, [&](const Expr &n) {
        return store_at(result, combine(op, old, load_at(source, type, n)), index);
    });
    const Stmt body = Block::make(store_at(result, identity_of(op, type), index), walk);
    return context.each(IfThenElse::make(thread() == 0, body));
}

}  // namespace strobe::simt
