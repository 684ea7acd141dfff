"""The admin API under ``/admin/api``, and the operator's page at ``/admin``.

Read in this order: ``contract`` (what is asked of whoever keeps the configuration), ``problems`` (what
can go wrong), ``lockout``, ``sessions`` and ``access`` (who gets in), ``dashboard`` (the page), ``mount``
(the door). Behind it, imported when it is first opened: ``api``, ``documents`` (what goes in and out),
``routes`` and ``manual``. ``pages`` holds the files that a browser loads.
"""
