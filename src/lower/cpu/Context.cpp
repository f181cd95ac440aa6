#include "Context.h"

#include "Strips.h"
#include "VectorMath.h"
#include "support/Error.h"

#include <algorithm>
#include <cmath>

namespace strobe::cpu {

using namespace Halide;
using namespace Halide::Internal;

namespace {

bool contains(const std::vector<std::string> &list, const std::string &name) {
    return std::find(list.begin(), list.end(), name) != list.end();
}

class AtPoint : public IRMutator {
    using IRMutator::visit;
    const Context &context;
    const Point &point;
    const std::vector<std::string> &clamped;
    bool in_address = false;

    Expr visit(const Variable *op) override {
        auto it = point.find(op->name);
        if (it != point.end()) {
            Expr at = it->second.value(context.lanes);
            if (in_address && contains(clamped, op->name)) {
                const Expr count = context.valid({op->name, 1 << 30});
                at = max(min(at, count - 1), 0);
            }
            return context.corner(op->name) + at;
        }
        if (!op->param.defined() && context.program.has_value(op->name)) {
            return context.at(op->name).load(point);
        }
        return op;
    }

    Expr visit(const Call *op) override {
        if (op->call_type != Call::Image) {
            return IRMutator::visit(op);
        }
        std::vector<Expr> args;
        {
            ScopedValue<bool> address(in_address, true);
            for (const Expr &a : op->args) {
                args.push_back(mutate(a));
            }
        }
        return context.load_input(op, args);
    }

public:
    AtPoint(const Context &c, const Point &p, const std::vector<std::string> &l, bool address = false)
        : context(c), point(p), clamped(l), in_address(address) {
    }
};

bool has_fused_multiply_add(const Target &t) {
    return t.has_feature(Target::FMA) || t.has_feature(Target::FMA4) || t.has_feature(Target::AVX512_Skylake) ||
           (t.arch == Target::ARM && t.bits == 64);
}

}  // namespace

RegisterBlock register_block(const Target &target, int lanes, int size) {
    const bool many = target.has_feature(Target::AVX512) || target.has_feature(Target::AVX512_Skylake) ||
                      (target.arch == Target::ARM && target.bits == 64);
    // Accumulators, one vector operand each, one broadcast. Fewer vectors need more loads for each product.
    const std::vector<RegisterBlock> shapes = many ? std::vector<RegisterBlock>{{6, 4}, {8, 3}, {12, 2}} :
                                                     std::vector<RegisterBlock>{{6, 2}, {10, 1}};
    const int registers = std::max(1, lanes / std::max(1, target.natural_vector_size<float>()));  // a vector
    RegisterBlock best = {4, 1};
    double least = HUGE_VAL;
    for (const RegisterBlock &shape : shapes) {
        const int vectors = shape.vectors / registers, width = vectors * lanes;
        const double cost = width == 0 ? HUGE_VAL : (size + width - 1) / width * width * (1 + 0.5 / vectors);
        if (cost < least) {
            least = cost;
            best = {shape.rows, vectors};
        }
    }
    return best;
}

Context::Context(const TileProgram &p, const Target &t, int l)
    : program(p), target(t), lanes(l), strips(divide_rows(p, l * register_block(t, l, p.query_tile).vectors)),
      storage(place_values(p, lanes, strips)) {
    share_storage(p, strips, storage);
}

const TileStorage &Context::at(const std::string &value) const {
    auto it = storage.find(value);
    strobe_internal_assert(it != storage.end()) << "no tile value " << value;
    return it->second;
}

Expr Context::corner(const std::string &axis) const {
    if (axis == program.query.name || axis == program.stream.name) {
        return Variable::make(Int(32), axis + ".lo");
    }
    return program.axis(axis).min;
}

Expr Context::valid(const TileDim &dim) const {
    Expr count;
    if (dim.axis == program.query.name || dim.axis == program.stream.name) {
        count = Variable::make(Int(32), dim.axis + ".hi") - Variable::make(Int(32), dim.axis + ".lo") + 1;
    } else {
        count = program.axis(dim.axis).extent;
    }
    return simplify(min(count, dim.size));
}

Expr Context::evaluate(const Expr &e, const Point &point, const std::vector<std::string> &clamped) const {
    return vector_math(AtPoint(*this, point, clamped).mutate(e), has_fused_multiply_add(target));
}

Expr Context::coordinates(const Expr &e, const Point &point, const std::vector<std::string> &clamped) const {
    return AtPoint(*this, point, clamped, true).mutate(e);
}

Expr Context::flat_index(const std::string &name, const std::vector<Expr> &args, const Parameter &param,
                         const Buffer<> &image) const {
    const bool large = target.has_large_buffers();
    Expr index = large ? make_zero(Int(64)) : Expr(0);
    for (size_t k = 0; k < args.size(); k++) {
        const std::string d = std::to_string(k);
        Expr low = Variable::make(Int(32), name + ".min." + d, image, param, ReductionDomain());
        Expr stride = Variable::make(Int(32), name + ".stride." + d, image, param, ReductionDomain());
        Expr at = args[k] - low;
        index += large ? cast<int64_t>(at) * cast<int64_t>(stride) : at * stride;
    }
    return index;
}

Expr Context::load_input(const Call *call, const std::vector<Expr> &args) const {
    const std::string name = call->param.defined() ? call->param.name() : call->name;
    return Load::make(call->type, name, flat_index(name, args, call->param, call->image), call->image, call->param,
                      const_true(), ModulusRemainder());
}

Expr Context::stride_of(const Call *call, int dim) const {
    const std::string name = call->param.defined() ? call->param.name() : call->name;
    return Variable::make(Int(32), name + ".stride." + std::to_string(dim), call->image, call->param,
                          ReductionDomain());
}

Stmt store_element(const TileStorage &s, const Point &point, const Expr &value) {
    Expr v = value.type() == s.rounded_to ? value : cast(s.rounded_to, value);
    if (s.type != s.rounded_to) {
        v = cast(s.type, v);
    }
    return Store::make(s.name, v, s.index(point), Parameter(), const_true(), ModulusRemainder());
}

Stmt make_loop(const std::string &name, const Expr &extent, const Stmt &body, ForType type) {
    if (is_const_one(extent) && type != ForType::Vectorized) {
        return LetStmt::make(name, 0, body);
    }
    return For::make(name, 0, extent, type, Partition::Never, DeviceAPI::None, body);
}

}  // namespace strobe::cpu
