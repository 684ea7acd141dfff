"""The official SDKs behind one small interface, so that a test is written once for all of them.

``ask`` sends one turn, ``follow`` a second one that carries the first answer back in the SDK's own
form. Whatever arrives is validated against the SDK's own models, which the SDKs themselves do not
do: they build lenient objects that hide a wrong shape.
"""
