"""An upstream that breaks on demand, in every way an upstream can.

Correct answers come from ``tests.support.standin``; here they are cut, stalled, mislabelled and
reset, below any HTTP framework, because none misbehaves enough. The first part of the model's name
says how (``reset.whatever`` is reset), so one gateway with one configuration sees every fault.
``table`` lists the faults with what the gateway promises for each.
"""
