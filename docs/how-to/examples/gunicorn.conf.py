wsgi_app = "host:app"
worker_class = "aiohttp.worker.GunicornWebWorker"
workers = 4
preload_app = True
bind = "127.0.0.1:8080"
graceful_timeout = 30  # longer than shutdown_grace and kill_grace together, so that jobs are ended in order
