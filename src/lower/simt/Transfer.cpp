#include "Transfer.h"

#include "device/Intrinsics.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe::simt {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Loads that one thread has in flight. */
const int batch = 8;
/** Bytes of an asynchronous copy. */
const int wide_bytes = 16;

class Loader {
    const Context &context;
    const TileOp &op;
    const Stored &dst;
    const Call *const call;

    Point point_of(const Expr &number, int unit, Expr &inside) const {
        Point point;
        Expr rest = number;
        for (size_t d = dst.dims.size(); d-- > 0;) {
            const bool last = d + 1 == dst.dims.size();
            const int size = last ? dst.sizes[d] / unit : dst.sizes[d];
            const Expr at = d == 0 ? rest : rest % size;
            rest = rest / size;
            point[dst.dims[d].axis] = {last && unit > 1 ? at * unit : at, -1};
            inside = inside && point.at(dst.dims[d].axis).at < context.valid(dst.dims[d].axis);
        }
        return point;
    }
    int total() const {
        int n = 1;
        for (int size : dst.sizes) {
            n *= size;
        }
        return n;
    }

    Expr index_at(const Point &point) const {
        const Expr element = context.evaluate(op.expr, point);
        const Load *load = element.as<Load>();
        strobe_internal_assert(load) << "load of " << op.dst << " is not an input element: " << op.expr;
        return load->index;
    }
    Stmt copy(const Point &point, const Expr &inside, int unit) const;

public:
    Loader(const Context &context, const TileOp &op)
        : context(context), op(op), dst(context.at(op.dst)), call(op.expr.as<Call>()) {
    }

    /** The dimension of the input that the tile's rows lie along, whole; -1 if they do not. */
    int whole_rows() const;
    /** That its elements lie together, and all rows at multiples of 16 bytes. */
    Expr rows_are_wide(int dim) const;
    Stmt wide() const;
    Stmt one_by_one() const;
};

int Loader::whole_rows() const {
    if (dst.dims.size() != 2 || !call || dst.type != call->type || !call->param.defined()) {
        return -1;
    }
    const TileDim &inner = dst.dims[1];
    const auto &columns = context.program.columns;
    const bool whole = std::any_of(columns.begin(), columns.end(), [&](const Axis &a) { return a.name == inner.axis; });
    const int bytes = dst.type.bytes();
    if (!whole || bytes > wide_bytes || inner.size * bytes % wide_bytes != 0 ||
        dst.sizes[1] * bytes % wide_bytes != 0) {
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
    const std::string &name = call->param.name(), &axis = dst.dims[1].axis;
    const int unit = wide_bytes / dst.type.bytes();
    const auto field = [&](const char *what, int d) {
        const Type type = context.on_cpu || std::string(what) == ".min." ? Int(32) : Int(64);
        return Variable::make(type, name + what + std::to_string(d), Buffer<>(), call->param, ReductionDomain());
    };
    Expr wide = field(".stride.", dim) == make_one(field(".stride.", dim).type()) &&
                context.program.axis(axis).extent == dst.dims[1].size &&
                (context.corner(axis) - field(".min.", dim)) % unit == 0;
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
    if (!context.on_cpu) {
        const Expr bytes = cast<uint64_t>(index_at(point) * make_const(Int(64), dst.type.bytes()));
        const Expr from = Variable::make(UInt(64), call->param.name() + ".address") + bytes;
        const Expr to = shared_address(dst.name, element_index(dst, point) * dst.type.bytes(), true);
        return device::run("copy_async", {}, {to, from, select(inside, wide_bytes, 0)});
    }
    std::vector<Stmt> stores;
    const Expr index = index_at(point);
    for (int e = 0; e < unit; e++) {
        const Expr value = Load::make(dst.type, call->param.name(), index + make_const(Int(64), e), Buffer<>(),
                                      call->param, const_true(), ModulusRemainder());
        stores.push_back(store_at(dst.name, select(inside, value, make_zero(dst.type)), element_index(dst, point) + e));
    }
    return Block::make(stores);
}

Stmt Loader::wide() const {
    const int unit = wide_bytes / dst.type.bytes(), threads = context.threads();
    const int pieces = total() / unit;
    return serial_loop("piece", (pieces + threads - 1) / threads, [&](const Expr &turn) {
        const Expr number = turn * threads + thread();
        Expr inside = const_true();
        const Point point = point_of(number, unit, inside);
        const Stmt s = copy(point, inside, unit);
        return pieces % threads == 0 ? s : IfThenElse::make(number < pieces, s);
    });
}

Stmt Loader::one_by_one() const {
    const int elements = total(), threads = context.threads();
    const int turns = (elements + threads - 1) / threads, together = std::min(batch, turns);
    const bool whole = elements % (threads * together) == 0;
    return serial_loop("batch", (turns + together - 1) / together, [&](const Expr &n) {
        // All loads of a batch come before its stores, so that they wait for memory together.
        std::vector<std::pair<std::string, Expr>> lets;
        std::vector<Stmt> stores;
        for (int k = 0; k < together; k++) {
            const Expr number = (n * together + k) * threads + thread();
            const Expr exists = number < elements;
            Expr inside = whole ? const_true() : exists;
            const Point point = point_of(number, 1, inside);
            const Expr value = context.evaluate(op.expr, point);
            lets.emplace_back(unique_name("element"), select(inside, value, make_zero(value.type())));
            const Stmt store = store_element(dst, point, Variable::make(value.type(), lets.back().first));
            stores.push_back(whole ? store : IfThenElse::make(exists, store));
        }
        Stmt s = Block::make(stores);
        for (auto it = lets.rbegin(); it != lets.rend(); ++it) {
            s = LetStmt::make(it->first, it->second, s);
        }
        return s;
    });
}

}  // namespace

Stmt lower_load(const Context &context, const TileOp &op) {
    const Loader loader(context, op);
    const int dim = loader.whole_rows();
    Stmt s = loader.one_by_one();
    if (dim >= 0) {
        const Stmt begin = begin_writes(context.at(op.dst).name);
        s = IfThenElse::make(loader.rows_are_wide(dim), context.on_cpu ? begin : loader.wide(), s);
    }
    return each_thread(context.threads(), s);
}

Stmt finish_loads(const Context &context, const std::vector<TileOp> &loads) {
    std::vector<Stmt> stmts;
    for (const TileOp &op : loads) {
        const Loader loader(context, op);
        const int dim = loader.whole_rows();
        if (dim < 0) {
            continue;
        }
        if (context.on_cpu) {
            stmts.push_back(IfThenElse::make(loader.rows_are_wide(dim), loader.wide()));
        } else if (stmts.empty()) {
            stmts.push_back(device::run("copy_wait"));
        }
        stmts.push_back(complete_writes(context.at(op.dst).name));
    }
    return stmts.empty() ? Evaluate::make(0) : each_thread(context.threads(), Block::make(stmts));
}

}  // namespace strobe::simt
