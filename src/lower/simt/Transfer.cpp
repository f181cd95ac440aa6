#include "Transfer.h"

#include "device/Intrinsics.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe::simt {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Loads that one thread has in flight. */
const int batch = 8, few_together = 2;
/** Bytes of an asynchronous copy. */
const int wide_bytes = 16, word_bytes = 4;

class Loader {
    const Context &context;
    const TileOp &op;
    const Stored &dst;
    const Call *const call;

    /** Elements that the sharers deal out: of one row, where each has a matrix. */
    int total() const {
        int n = 1;
        for (size_t d = dst.by_rows ? 1 : 0; d < dst.sizes.size(); d++) {
            n *= dst.sizes[d];
        }
        return n;
    }
    Point point_of(const Point &row, const Expr &number, int unit, Expr &inside) const {
        Point point = row;
        Expr rest = number;
        for (size_t d = dst.dims.size(); d-- > 0;) {
            const bool last = d + 1 == dst.dims.size();
            const int size = last ? dst.sizes[d] / unit : dst.sizes[d];
            if (d > 0 || !dst.by_rows) {
                const Expr at = d == 0 ? rest : rest % size;
                rest = rest / size;
                point[dst.dims[d].axis] = {last && unit > 1 ? at * unit : at, -1};
            }
            inside = inside && point.at(dst.dims[d].axis).at < context.valid(dst.dims[d].axis);
        }
        return point;
    }
    Stmt copy(const Point &point, const Expr &inside, int unit) const;

public:
    Loader(const Context &context, const TileOp &op)
        : context(context), op(op), dst(context.at(op.dst)), call(op.expr.as<Call>()) {
    }

    /** The dimension of the input that the tile's rows lie along, whole or in part; -1 if they do not. */
    int whole_rows() const;
    /** Whether single elements are copied past the registers. */
    bool copies_words() const {
        return context.values.map.points > 1 && call && dst.type == call->type && dst.type.bytes() == word_bytes &&
               call->param.defined();
    }
    /** That its elements lie together, and all rows at multiples of 16 bytes. */
    Expr rows_are_wide(int dim) const;
    Stmt wide() const;
    Stmt words() const;
    Stmt one_by_one() const;
};

int Loader::whole_rows() const {
    if (dst.dims.size() < 2 || !call || dst.type != call->type || !call->param.defined()) {
        return -1;
    }
    const TileDim &inner = dst.dims.back();
    const int bytes = dst.type.bytes();
    if (inner.axis == context.program.query.name || bytes > wide_bytes || inner.size * bytes % wide_bytes != 0 ||
        dst.sizes.back() * bytes % wide_bytes != 0) {
        return -1;
    }
    int found = -1;
    for (size_t k = 0; k < call->args.size(); k++) {
        const Variable *v = call->args[k].as<Variable>();
        if (v && v->name == inner.axis) {
            if (found >= 0) {
                return -1;
            }
            found = (int)k;
        } else if (expr_uses_var(call->args[k], inner.axis)) {
            return -1;
        }
    }
    return found;
}

Expr Loader::rows_are_wide(int dim) const {
    const std::string &name = call->param.name(), &axis = dst.dims.back().axis;
    const int unit = wide_bytes / dst.type.bytes();
    const Expr first = context.program.axis(axis).min;  // tiles begin at multiples of the unit from there
    const auto field = [&](const char *what, int d) {
        const Type type = context.on_cpu || std::string(what) == ".min." ? Int(32) : Int(64);
        return Variable::make(type, name + what + std::to_string(d), Buffer<>(), call->param, ReductionDomain());
    };
    Expr wide = field(".stride.", dim) == make_one(field(".stride.", dim).type()) &&
                (axis == context.program.stream.name || context.program.axis(axis).extent == dst.dims.back().size) &&
                (first - field(".min.", dim)) % unit == 0;
    for (size_t k = 0; k < call->args.size(); k++) {
        if ((int)k != dim) {
            const Expr stride = field(".stride.", (int)k);
            wide = wide && stride % make_const(stride.type(), unit) == make_zero(stride.type());
        }
    }
    if (!context.on_cpu) {
        const Expr misaligned = Variable::make(UInt(64), name + ".address") % make_const(UInt(64), wide_bytes);
        wide = wide && misaligned == make_zero(UInt(64));
    }
    return wide;
}

/** `unit` elements from \p point on, or zeros. */
Stmt Loader::copy(const Point &point, const Expr &inside, int unit) const {
    const std::string &axis = dst.dims.back().axis;
    const Expr valid = context.valid(axis), at = point.at(axis).at;
    const Expr index = context.index_of_input(op.expr, point);
    if (!context.on_cpu) {
        // Of size 0 it reads nothing, wherever that would be.
        const Expr bytes = cast<uint64_t>(index * make_const(Int(64), dst.type.bytes()));
        const Expr from = Variable::make(UInt(64), call->param.name() + ".address") + bytes;
        const Expr to = shared_address(dst.name, element_index(context, dst, point) * dst.type.bytes(), true);
        const bool ends = axis == context.program.stream.name;  // maybe within the piece
        const Expr size = ends ? min(valid - at, unit) * dst.type.bytes() : Expr(wide_bytes);
        return device::run("copy_async", {}, {to, from, select(inside, size, 0)});
    }
    std::vector<Stmt> stores;
    for (int e = 0; e < unit; e++) {
        const Expr exists = inside && at + e < valid;
        const Expr value =
            Load::make(dst.type, call->param.name(), select(exists, index + make_const(Int(64), e), make_zero(Int(64))),
                       Buffer<>(), call->param, const_true(), ModulusRemainder());
        stores.push_back(
            store_at(dst.name, select(exists, value, make_zero(dst.type)), element_index(context, dst, point) + e));
    }
    return Block::make(stores);
}

Stmt Loader::wide() const {
    const int unit = wide_bytes / dst.type.bytes(), threads = context.sharers(dst);
    const int pieces = total() / unit;
    return for_own_rows(context, dst, [&](const Point &row) {
        return serial_loop("piece", (pieces + threads - 1) / threads, [&](const Expr &turn) {
            const Expr number = turn * threads + context.sharer(dst);
            Expr inside = const_true();
            const Point point = point_of(row, number, unit, inside);
            const Stmt s = copy(point, inside, unit);
            return pieces % threads == 0 ? s : IfThenElse::make(number < pieces, s);
        });
    });
}

Stmt Loader::words() const {
    const int elements = total(), threads = context.sharers(dst);
    return for_own_rows(context, dst, [&](const Point &row) {
        return serial_loop("word", (elements + threads - 1) / threads, [&](const Expr &turn) {
            const Expr number = turn * threads + context.sharer(dst);
            Expr inside = const_true();
            const Point point = point_of(row, number, 1, inside);
            const Expr bytes = cast<uint64_t>(context.index_of_input(op.expr, point) * make_const(Int(64), word_bytes));
            const Expr from = Variable::make(UInt(64), call->param.name() + ".address") + bytes;
            const Expr to = shared_address(dst.name, element_index(context, dst, point) * word_bytes, true);
            const Stmt s = device::run("copy_async_word", {}, {to, from, select(inside, word_bytes, 0)});
            return elements % threads == 0 ? s : IfThenElse::make(number < elements, s);
        });
    });
}

Stmt Loader::one_by_one() const {
    const int elements = total(), threads = context.sharers(dst);
    const int turns = (elements + threads - 1) / threads;
    const int together = std::min(context.values.map.points > 1 ? few_together : batch, turns);
    const bool whole = elements % (threads * together) == 0;
    return for_own_rows(context, dst, [&](const Point &row) {
        return serial_loop("batch", (turns + together - 1) / together, [&](const Expr &n) {
            // All loads of a batch come before its stores, so that they wait for memory together.
            std::vector<std::pair<std::string, Expr>> lets;
            std::vector<Stmt> stores;
            for (int k = 0; k < together; k++) {
                const Expr number = (n * together + k) * threads + context.sharer(dst);
                const Expr exists = number < elements;
                Expr inside = whole ? const_true() : exists;
                const Point point = point_of(row, number, 1, inside);
                const Expr value = context.evaluate(op.expr, point);
                lets.emplace_back(unique_name("element"), select(inside, value, make_zero(value.type())));
                const Stmt store = store_element(context, dst, point, Variable::make(value.type(), lets.back().first));
                stores.push_back(whole ? store : IfThenElse::make(exists, store));
            }
            Stmt s = Block::make(stores);
            for (auto it = lets.rbegin(); it != lets.rend(); ++it) {
                s = LetStmt::make(it->first, it->second, s);
            }
            return s;
        });
    });
}

/** The rows of a bundle. */
class BundleLoader {
    const Context &context;
    const Bundle &bundle;
    const Stored &dst;  // of the tile that stands for all
    const Call *const call;

    /** The element of the input at number \p n of a row. */
    Expr element(const Expr &n) const {
        std::vector<Expr> args = call->args;
        Expr rest = n;
        for (size_t d = 0; d < bundle.dims.size(); d++) {
            args[bundle.dims[d]] = d + 1 == bundle.dims.size() ? rest : rest % bundle.extents[d];
            rest = rest / bundle.extents[d];
        }
        return Call::make(call->type, call->name, args, call->call_type, call->func, call->value_index, call->image,
                          call->param);
    }
    /** make(row, number in the row, number in the array) for every unit'th element that a thread copies. */
    Stmt each_piece(int unit, const std::function<Stmt(const Expr &, const Expr &, const Expr &)> &make) const {
        const int of_row = bundle.row / unit, pieces = dst.sizes[0] * of_row, threads = context.sharers(dst);
        return serial_loop("piece", (pieces + threads - 1) / threads, [&](const Expr &turn) {
            const Expr number = turn * threads + context.sharer(dst), row = number / of_row;
            const Expr first = number % of_row * unit;
            const Expr base = element_index(context, dst, Point{{bundle.rows, {row, -1}}, {bundle.inner, {0, -1}}});
            const Stmt s = make(row, first, base - dst.offset + first);
            return pieces % threads == 0 ? s : IfThenElse::make(number < pieces, s);
        });
    }

public:
    BundleLoader(const Context &context, const Bundle &bundle)
        : context(context), bundle(bundle), dst(context.at(bundle.loads[0].dst)),
          call(bundle.loads[0].expr.as<Call>()) {
    }

    /** That a row's elements lie together, and all rows at multiples of 16 bytes. */
    Expr rows_are_wide() const {
        const int unit = wide_bytes / word_bytes;
        const std::string &name = call->param.name();
        Expr wide = make_bool(bundle.row % unit == 0);
        const auto field = [&](const char *what, int d) {
            const Type type = std::string(what) == ".min." ? Int(32) : Int(64);
            return Variable::make(type, name + what + std::to_string(d), Buffer<>(), call->param, ReductionDomain());
        };
        int64_t stride = 1;
        for (int d = 0; d < (int)call->args.size(); d++) {
            const auto at = std::find(bundle.dims.begin(), bundle.dims.end(), d);
            if (at == bundle.dims.end()) {
                wide = wide && field(".stride.", d) % make_const(Int(64), unit) == make_zero(Int(64));
                continue;
            }
            wide = wide && field(".stride.", d) == make_const(Int(64), stride) && field(".min.", d) == 0;
            stride *= bundle.extents[at - bundle.dims.begin()];
        }
        const Expr address = Variable::make(UInt(64), name + ".address");
        return wide && address % make_const(UInt(64), wide_bytes) == make_zero(UInt(64));
    }

    Stmt copies(int bytes) const {
        return each_piece(bytes / word_bytes, [&](const Expr &row, const Expr &first, const Expr &index) {
            const Expr from = context.index_of_input(element(first), Point{{bundle.rows, {row, -1}}});
            const Expr address = Variable::make(UInt(64), call->param.name() + ".address") +
                                 cast<uint64_t>(from * make_const(Int(64), word_bytes));
            const Expr size = select(row < context.valid(bundle.rows), bytes, 0);
            return device::run(bytes == word_bytes ? "copy_async_word" : "copy_async", {},
                               {shared_address(dst.name, index * word_bytes, true), address, size});
        });
    }

    Stmt one_by_one() const {
        return each_piece(1, [&](const Expr &row, const Expr &first, const Expr &index) {
            const Expr value = context.evaluate(element(first), Point{{bundle.rows, {row, -1}}});
            return store_at(dst.name, select(row < context.valid(bundle.rows), value, make_zero(value.type())), index);
        });
    }
};

/** \p wide if \p condition, else \p narrow; one of them if it is known which. */
Stmt either(const Context &context, const Expr &condition, const Stmt &wide, const Stmt &narrow) {
    return context.wide_rows == Context::WideRows::All   ? wide
           : context.wide_rows == Context::WideRows::Few ? narrow
                                                         : IfThenElse::make(condition, wide, narrow);
}

}  // namespace

Stmt lower_load(const Context &context, const TileOp &op) {
    const Stored &dst = context.at(op.dst);
    const Stmt begin = begin_writes(dst.name);
    if (const Bundle *bundle = context.values.bundle_of(op.dst)) {
        if (dst.part) {
            return Evaluate::make(0);
        }
        const BundleLoader loader(context, *bundle);
        return context.each_sharer(dst, context.on_cpu ? begin
                                                       : either(context, loader.rows_are_wide(),
                                                                loader.copies(wide_bytes), loader.copies(word_bytes)));
    }
    const Loader loader(context, op);
    const int dim = loader.whole_rows();
    Stmt s = !loader.copies_words() ? loader.one_by_one() : context.on_cpu ? begin : loader.words();
    if (dim >= 0) {
        const Stmt wide = context.on_cpu ? begin : loader.wide();
        // A matrix for each row is most of what a block loads: worth the choice in any case.
        s = dst.by_rows && context.wide_rows == Context::WideRows::Few
                ? IfThenElse::make(loader.rows_are_wide(dim), wide, s)
                : either(context, loader.rows_are_wide(dim), wide, s);
    }
    return context.each_sharer(dst, s);
}

Expr all_rows_are_wide(const Context &context) {
    Expr wide = const_true();
    const auto add = [&](const TileOp &op) {
        if (op.kind != TileOp::Kind::Load || context.at(op.dst).part) {
            return;
        }
        if (const Bundle *bundle = context.values.bundle_of(op.dst)) {
            wide = wide && BundleLoader(context, *bundle).rows_are_wide();
        } else if (const int dim = Loader(context, op).whole_rows(); dim >= 0) {
            wide = wide && Loader(context, op).rows_are_wide(dim);
        }
    };
    for (const StreamPass &pass : context.program.passes) {
        std::for_each(pass.prologue.begin(), pass.prologue.end(), add);
        std::for_each(pass.step.begin(), pass.step.end(), add);
    }
    return wide;
}

namespace {

/** That each warp uses a part of \p s of its own, if so. */
Stmt own_writes(const Context &context, const Stored &s) {
    const bool own = s.by_rows || (s.points > 1 && context.values.map.point_is_warp());
    return own ? use_within_warp(s.name) : Evaluate::make(0);
}

/** What a CPU does of a load that passes the registers; undefined if it does not. */
Stmt late_load(const Context &context, const TileOp &op) {
    if (const Bundle *bundle = context.values.bundle_of(op.dst)) {
        return context.each_sharer(context.at(op.dst), BundleLoader(context, *bundle).one_by_one());
    }
    const Loader loader(context, op);
    const int dim = loader.whole_rows();
    Stmt s = loader.copies_words() ? loader.one_by_one() : Stmt();
    if (dim >= 0) {
        s = IfThenElse::make(loader.rows_are_wide(dim), loader.wide(), s);
    }
    return s.defined() ? context.each_sharer(context.at(op.dst), s) : Stmt();
}

}  // namespace

Stmt commit_loads(const Context &context) {
    return context.on_cpu ? Evaluate::make(0) : context.each(device::run("copy_commit"));
}

Stmt finish_loads(const Context &context, const std::vector<TileOp> &loads, int pending) {
    std::vector<Stmt> stmts;
    for (const TileOp &op : loads) {
        const Stored &dst = context.at(op.dst);
        const Stmt late = dst.part ? Stmt() : late_load(context, op);
        if (!late.defined()) {
            continue;
        }
        if (context.on_cpu) {
            stmts.push_back(late);
        } else if (stmts.empty()) {
            stmts.push_back(context.each(pending == 0 ? device::run("copy_wait")
                                                      : device::run("copy_wait_group", {std::to_string(pending)})));
        }
        // What a warp's own threads have loaded, that warp alone needs to know of.
        stmts.push_back(context.each(Block::make(own_writes(context, dst), complete_writes(dst.name))));
    }
    return stmts.empty() ? Evaluate::make(0) : Block::make(stmts);
}

}  // namespace strobe::simt
